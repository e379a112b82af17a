"""How a workspace is reached, and its refusals in our words."""

from __future__ import annotations

import pytest

from dlops.errors import ConfigError, UnreachableError
from dlops.targets.workspace import DatabricksSettings, Workspace
from dlops.worker.job import Job


def workspace(**settings):
    return Workspace("dbx", DatabricksSettings(folder="/Volumes/main/ml/films", **settings))


def connected():
    """One whose client is there."""
    found = workspace()
    vars(found)["_client"] = object()
    return found


def job(tracking_uri="http://x"):
    texts = ("step", "entry_point", "target", "command", "folder", "experiment")
    return Job(**dict.fromkeys(texts, "x"), tracking_uri=tracking_uri)


def test_a_profile_is_not_known_to_the_tracking_client(monkeypatch):
    monkeypatch.delenv("DATABRICKS_CONFIG_PROFILE", raising=False)
    monkeypatch.delenv("DATABRICKS_HOST", raising=False)
    (problem,) = workspace(profile="films").problems(job("databricks"))
    assert "export DATABRICKS_CONFIG_PROFILE=films" in problem
    assert workspace(profile="films").problems(job()) == []
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "films")
    assert workspace(profile="films").problems(job("databricks")) == []


def test_a_secret_is_named_by_scope_and_key():
    secrets = {"A": "films/hub", "B": "films", "C": "a/b/c"}
    assert workspace(secrets=secrets).problems(job()) == [
        f"the target dbx: the secret {name} is named SCOPE/KEY" for name in "BC"
    ]


@pytest.mark.parametrize(("error", "who"), [("PermissionDenied", True), ("ResourceConflict", False), ("", True)])
def test_who_we_are_is_the_way_on_where_that_is_in_doubt(error, who):
    def refuse(client):
        from databricks.sdk import errors

        raise getattr(errors, error)("no") if error else ValueError("no credentials")

    with pytest.raises(UnreachableError, match="workspace of target dbx did not do as asked: no") as caught:
        connected().asked(refuse)
    assert ("databricks auth login" in caught.value.hint) is who


def test_what_we_say_ourselves_is_said_as_it_is():
    def refuse(client):
        raise ConfigError("taken", hint="Name another.")

    with pytest.raises(ConfigError, match=r"^taken$"):
        connected().asked(refuse)
