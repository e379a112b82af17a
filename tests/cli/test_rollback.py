"""`dlops rollback`: the champion before is the champion again."""

from __future__ import annotations

import json


def test_the_way_back(typed, films):
    typed("promote", "films", "1")
    typed("promote", "films", "3")
    assert typed("rollback", "films")[0] == "Version 1 of films is the champion; before it was version 3.\n"
    assert "no earlier champion" in typed("rollback", "films", exit_code=2)[1]
    typed("promote", "films", "2")
    assert json.loads(typed("rollback", "films", "--json")[0])["version"] == "1"
    assert "dlops models" in typed("rollback", "none", exit_code=2)[1]
