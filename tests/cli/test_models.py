"""`dlops models`: what is registered, a line a version."""

from __future__ import annotations

import json

from dlops.registry.aliases import APPROVAL


def test_versions_are_listed_with_aliases_and_figures(typed, films):
    films.set_registered_model_alias("films", "champion", "2")
    films.set_model_version_tag("films", "3", APPROVAL, "required")
    heading, *lines = typed("models", "films")[0].splitlines()
    assert heading.split() == ["model", "version", "aliases", "test_accuracy", "age", "run"]
    assert [line.split()[:2] for line in lines] == [["films", "3"], ["films", "2"], ["films", "1"]]
    assert "awaits approval" in lines[0]
    assert "champion" in lines[1]
    assert "0.8100" in lines[1]
    assert [line.split()[1] for line in typed("models")[0].splitlines()[1:]] == ["3", "2"], (
        "with an alias, and the newest"
    )
    told = json.loads(typed("models", "films", "--json")[0])
    assert told[1]["aliases"] == ["champion"]
    assert told[1]["metrics"] == {"test_accuracy": 0.81}


def test_nothing_is_registered(typed):
    out, err = typed("models")
    assert out == ""
    assert "No model is registered here yet." in err
    assert json.loads(typed("models", "--json")[0]) == []
    assert "`dlops models` lists those there are" in typed("models", "none", exit_code=2)[1]
