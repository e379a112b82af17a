"""A pipeline's end as JUnit XML, which CI systems show as tests: one for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from dlops.errors import UsageError

_BAD = {"failed": "failure", "refused": "failure", "ended": "error"}
_ABSENT = ("skipped", "left out", "waiting")


def write(file: Path, steps: Sequence[Mapping[str, Any]], *, name: str = "dlops run") -> None:
    """Write the file, beside and renamed.

    Raises:
        UsageError: it cannot be written.
    """
    bad = [step for step in steps if step["state"] in _BAD]
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(steps)),
        failures=str(sum(_BAD[step["state"]] == "failure" for step in bad)),
        errors=str(sum(_BAD[step["state"]] == "error" for step in bad)),
        skipped=str(sum(step["state"] in _ABSENT for step in steps)),
        time=f"{sum(_seconds(step) for step in steps):.3f}",
    )
    for step in steps:
        _add(suite, step, name)
    document = ET.Element("testsuites")
    document.append(suite)
    ET.indent(document)
    beside = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        ET.ElementTree(document).write(beside, encoding="utf-8", xml_declaration=True)
        beside.replace(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.", hint="Name another: --junit FILE.") from error


def _add(suite: ET.Element, step: Mapping[str, Any], name: str) -> None:
    case = ET.SubElement(suite, "testcase", name=_clean(step["name"]), classname=name, time=f"{_seconds(step):.3f}")
    state, why = step["state"], _clean(str(step.get("why", "")))
    if state in _BAD:
        error = _clean(str(step.get("error", "")))
        ET.SubElement(case, _BAD[state], message=error.split("\n")[0], type=state).text = error
    elif state in _ABSENT:
        ET.SubElement(case, "skipped", message=why)
    told = {"state": state, "why": why, "run": step.get("run_id", ""), "target": step.get("target", "")}
    ET.SubElement(case, "system-out").text = "\n".join(f"{key}: {value}" for key, value in told.items() if value)


def _seconds(step: Mapping[str, Any]) -> float:
    """Give what a step took now; one from the cache took nothing."""
    return float(step.get("seconds", 0.0)) if step["state"] in ("finished", "failed", "refused", "ended") else 0.0


def _clean(text: str) -> str:
    """Take out what XML 1.0 cannot hold."""
    return "".join(sign for sign in text if sign in "\t\n\r" or (ord(sign) >= 32 and ord(sign) not in (0xFFFE, 0xFFFF)))
