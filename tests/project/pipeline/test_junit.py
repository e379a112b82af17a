from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from dlops.errors import UsageError
from dlops.project.pipeline import junit

STEPS = [
    {"name": "a", "state": "cached", "seconds": 100.0, "why": "nothing has changed", "run_id": "1" * 32},
    {"name": "b", "state": "finished", "seconds": 2.5},
    {"name": "c", "state": "failed", "seconds": 1.0, "error": "exit 1 <&>\x1b[0m\nmore"},
    {"name": "d", "state": "refused", "seconds": 0.5, "error": "below"},
    {"name": "e", "state": "ended", "error": "ended"},
    {"name": "f", "state": "skipped", "why": "c failed"},
    {"name": "g", "state": "left out"},
]


def test_each_step_is_a_test(tmp_path):
    file = tmp_path / "deep/er/junit.xml"
    junit.write(file, STEPS)
    suite = ET.parse(file).getroot().find("testsuite")
    assert suite is not None
    counts = {"tests": "7", "failures": "2", "errors": "1", "skipped": "2", "time": "4.000"}
    assert suite.attrib == {"name": "dlops run", **counts}
    cases = {case.get("name"): case for case in suite}
    assert list(cases) == list("abcdefg")
    assert cases["a"].get("time") == "0.000", "it took nothing this time"
    assert cases["a"].findtext("system-out") == f"state: cached\nwhy: nothing has changed\nrun: {'1' * 32}"
    failure = cases["c"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("exit 1 <&>[0m", "exit 1 <&>[0m\nmore")
    assert cases["e"].find("error") is not None
    assert cases["f"].find("skipped").get("message") == "c failed"
    assert [len(cases[name]) for name in "bdg"] == [1, 2, 2]
    assert [entry.name for entry in file.parent.iterdir()] == ["junit.xml"]


def test_a_place_that_takes_no_file_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        junit.write(tmp_path / "file/junit.xml", STEPS)
