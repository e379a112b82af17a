"""What stands around a classifier that answers raw texts: cleaning, languages, a memory of answers.

Written as YAML, or as the JSON that `Parameter.canonical` makes of it:

    cleaning: ingest               # as the training data was; none; or {html: true, unicode: NFC, whitespace: true}
    languages: [en, de]            # that are answered; left out, all
    others: none                   # what texts in other languages get: answer, none, or {label: other}
    cache: 10000                   # answers that are remembered; 0 for none
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dlops.config.parameters import Parameter, suggestion

_SWITCHES = {
    "html": Parameter(name="html", type="bool"),
    "unicode": Parameter(name="unicode", choices=("NFC", "NFKC", "none")),
    "whitespace": Parameter(name="whitespace", type="bool"),
}
_CACHE = Parameter(name="cache", type="int", minimum=0, maximum=10**8)
_LANGUAGE = re.compile(r"[a-z]{2}")


@dataclass(frozen=True)
class Inference:
    """A pipeline from a raw text to its answer."""

    cleaning: str | Mapping[str, Any] = "ingest"
    """`ingest` (as the training data was), `none`, or the switches of `dlops.data.text_cleaning.Switches`."""
    languages: tuple[str, ...] = ()
    """Codes (ISO 639-1) of those that are answered; empty for all."""
    others: str | Mapping[str, str] = "none"
    """What texts in other languages get: `answer`, `none`, or `{"label": NAME}`."""
    cache: int = 10_000
    """Answers that are remembered."""


def parse(text: str, problems: list[str]) -> Inference:
    """Read the canonical text of a pipeline; all that is wrong with it joins the `problems`."""
    written = json.loads(text) if text else {}
    if not isinstance(written, dict):
        problems.append("takes a mapping, or a file of one: cleaning, languages, others, cache")
        return Inference()
    readers: dict[str, Callable[[Any], Any]] = {
        "cleaning": _cleaning,
        "languages": _languages,
        "others": _others,
        "cache": lambda value: _CACHE.value(_CACHE.canonical(value)),
    }
    found = {}
    for name, value in written.items():
        if name not in readers:
            problems.append(f"{name!r} is no part of it{suggestion(name, readers) or '; it has ' + ', '.join(readers)}")
            continue
        try:
            found[name] = readers[name](value)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return Inference(**found)


def _cleaning(value: Any) -> str | Mapping[str, Any]:
    if value in ("ingest", "none"):
        return str(value)
    if not isinstance(value, dict) or set(value) - set(_SWITCHES):
        raise ValueError(f"takes ingest, none, or some of {', '.join(_SWITCHES)}, not {value!r}")
    return {name: _SWITCHES[name].value(_SWITCHES[name].canonical(told)) for name, told in value.items()}


def _languages(value: Any) -> tuple[str, ...]:
    codes = value if isinstance(value, list) else [code.strip() for code in str(value).split(",")]
    wrong = [str(code) for code in codes if not (isinstance(code, str) and _LANGUAGE.fullmatch(code))]
    if wrong:
        raise ValueError(f"takes codes of two letters such as en, not {', '.join(wrong)}")
    return tuple(codes)


def _others(value: Any) -> str | Mapping[str, str]:
    if value in ("answer", "none"):
        return str(value)
    if isinstance(value, dict) and set(value) == {"label"} and isinstance(value["label"], str):
        return value
    raise ValueError(f"takes answer, none or {{label: NAME}}, not {value!r}")
