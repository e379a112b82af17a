"""`dlops approve`: who let a version become the champion, and why."""

from __future__ import annotations

import json

from dlops.registry import aliases


def test_an_approval_is_recorded_and_lets_the_promotion_through(typed, films):
    for version in ("1", "2"):
        films.set_model_version_tag("films", version, aliases.APPROVAL, "required")
    films.set_model_version_tag("films", "2", aliases.PENDING, aliases.NOBODY)
    assert typed("approve", "films", "1", "--comment", "fine", "--by", "ann")[0] == (
        "Version 1 of films is approved by ann.\n"
    )
    tags = films.get_model_version("films", "1").tags
    assert (tags["dlops_approved_by"], tags["dlops_approval_comment"]) == ("ann", "fine")
    told = json.loads(typed("approve", "films", "2", "--by", "ann", "--json")[0])
    assert told == {"name": "films", "version": "2", "before": None, "changed": True, "approved_by": "ann"}
    assert aliases.holder(films, "films") == "2"
    assert "waits for no approval" in typed("approve", "films", "3", exit_code=2)[1]
