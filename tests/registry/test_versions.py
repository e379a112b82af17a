"""Registered models are listed with their versions, aliases and figures; what is not there is told."""

from __future__ import annotations

import pytest

from dlops.errors import UnreachableError, UsageError
from dlops.registry import versions


def test_versions_have_their_aliases_and_figures(films, uri):
    films.set_registered_model_alias("films", "champion", "2")
    films.set_registered_model_alias("films", "candidate", "3")
    films.set_model_version_tag("films", "2", f"{versions.METRIC}test_accuracy", "0.875")
    found = versions.of(versions.connect(uri), "films")
    assert [one.version for one in found] == ["3", "2", "1"]
    assert [one.aliases for one in found] == [("candidate",), ("champion",), ()]
    assert found[1].metrics == {"test_accuracy": 0.875}
    assert versions.one(films, "films", "champion").version == "2"
    assert versions.one(films, "films", "1").source == "s3://models/0"
    films.create_registered_model("books")
    assert versions.names(films) == ["books", "films"]
    assert versions.of(films, "books") == []


def test_what_is_not_there_is_told(films):
    with pytest.raises(UsageError, match="has no version '9'; there is 3, 2, 1"):
        versions.one(films, "films", "9")
    with pytest.raises(UsageError, match="none") as caught:
        versions.of(films, "none")
    assert "dlops models" in caught.value.hint


def test_a_registry_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(versions, "_PATIENCE", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = versions.connect("http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        versions.names(client)
