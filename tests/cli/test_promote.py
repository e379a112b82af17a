"""`dlops promote`: a version becomes the champion."""

from __future__ import annotations

import json

from dlops.registry import aliases


def test_a_version_becomes_the_champion(typed, films):
    assert typed("promote", "films", "2")[0] == "Version 2 of films is the champion.\n"
    assert typed("promote", "films", "3", "--by", "ann")[0] == (
        "Version 3 of films is the champion; before it was version 2.\n"
    )
    assert films.get_model_version("films", "3").tags["dlops_promoted_by"] == "ann"
    assert "is the champion already" in typed("promote", "films", "champion")[0]
    told = json.loads(typed("promote", "films", "1", "--json")[0])
    assert told == {"name": "films", "version": "1", "before": "3", "changed": True}
    assert aliases.holder(films, "films") == "1"


def test_what_is_not_there(typed, films):
    assert "films has no version '9'; there is 3, 2, 1." in typed("promote", "films", "9", exit_code=2)[1]
    assert "dlops models" in typed("promote", "none", "1", exit_code=2)[1]


def test_a_version_that_waits_for_an_approval_is_refused(typed, films):
    films.set_model_version_tag("films", "2", aliases.APPROVAL, "required")
    assert "dlops approve films 2" in typed("promote", "films", "2", exit_code=3)[1]
