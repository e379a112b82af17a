"""One value that says everything a launch will do, and no secret."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from dlops.config import load
from dlops.config import yaml as our_yaml
from dlops.config.parameters import Parameter
from dlops.errors import ConfigError, UsageError
from dlops.project import plan
from dlops.project.environment import Environment
from dlops.project.plan import Request

LOCAL = Environment("local", ("/env/bin",), lock="mlflow==3\n")


def make(small, **fields):
    given = fields.pop("given", {})
    return plan.make(Request(step="finetune", uri=str(small), given=given, **fields))


def test_a_plan_is_settled_and_creates_nothing(small, contents):
    before = contents()
    planned = make(small, given={"epochs": "3"})
    assert planned.values == {"epochs": "3", "note": "", "api_key": "", "data": f"{small}/data.csv"}
    assert planned.command() == f"python train.py 3 --note='' '' {small}/data.csv"
    assert planned.experiment == "small"
    assert planned.tracking_uri == f"sqlite:///{Path.cwd()}/mlflow.db"
    assert contents() == before


def test_what_differs_from_the_defaults_is_told_to_the_target(small):
    assert make(small).job(LOCAL).changed == (), "a default that is a path, too, is one"
    assert make(small, given={"epochs": "2", "note": "x"}).job(LOCAL).changed == ("note",), "2 is the default"


def test_the_projects_own_config_is_a_layer(small):
    (small / "configs").mkdir()
    (small / "configs/finetune.yaml").write_text("epochs: 7\n")
    (small / "configs/dlops.yaml").write_text("experiment: reviews\nenvironment: uv\n")
    planned = make(small)
    assert planned.values["epochs"] == "7"
    assert planned.as_dict()["layers"]["epochs"] == f"{small}/configs/finetune.yaml:1"
    assert (planned.experiment, planned.environment_kind) == ("reviews", "uv")
    assert make(small, environment="local", experiment="mine").experiment == "mine"


def test_secrets_are_in_the_command_that_runs_and_nowhere_else(small, monkeypatch):
    monkeypatch.setenv("HUB_TOKEN", "hf_0123456789")
    with (small / "MLproject").open("a") as file:
        file.write("  other: {command: 'curl https://me:hard-coded@host'}\n")
    given = {"api_key": "k-123456789", "note": "uses hf_0123456789 and https://u:pw-secret@h"}
    planned = make(small, given=given, tracking_uri="http://me:store-pass@h")
    job = planned.job(LOCAL)
    assert "k-123456789" in job.command
    assert "hf_0123456789" in job.command
    shown = [planned.as_dict(), job.params, job.tags, job.artifacts]
    for secret in ("k-123456789", "hf_0123456789", "pw-secret", "store-pass"):
        assert secret not in json.dumps(shown)
        assert secret in job.secrets
    other = plan.make(Request(step="other", uri=str(small)))
    assert "hard-coded" not in json.dumps(other.as_dict())
    assert "hard-coded" in other.command()


def test_a_short_secret_is_masked_by_its_name(small):
    assert make(small, given={"api_key": "k"}).job(LOCAL).params["api_key"] == "***"


def test_a_path_that_is_a_uri_is_fetched(small):
    job = make(small, given={"data": "s3://bucket/a b.csv"}).job(LOCAL)
    (placeholder,) = job.downloads
    assert job.downloads[placeholder] == "s3://bucket/a b.csv"
    assert shlex.split(job.command)[-1] == placeholder
    assert "s3://bucket/a b.csv" in make(small, given={"data": "s3://bucket/a b.csv"}).as_dict()["command"]


def test_what_git_knows_is_tagged(small):
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "c"]):
        subprocess.run([*git, *words], cwd=small, check=True)
    job = plan.with_commit(make(small)).job(LOCAL)
    assert job.tags["dlops.dirty"] == "false"
    assert len(job.tags["dlops.commit"]) == 40
    (small / "MLproject").write_text((small / "MLproject").read_text() + "# api: k-123456789\n")
    dirty = plan.with_commit(make(small, given={"api_key": "k-123456789"})).job(LOCAL)
    assert dirty.tags["dlops.dirty"] == "true"
    assert "# api: ***" in dirty.artifacts["source.diff"]


def test_a_project_may_want_to_be_clean(small):
    (small / "configs").mkdir(exist_ok=True)
    (small / "configs/dlops.yaml").write_text("require_clean: true\n")
    with pytest.raises(UsageError, match="is no commit"):
        plan.with_commit(make(small))
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "c"]):
        subprocess.run([*git, *words], cwd=small, check=True)
    assert plan.with_commit(make(small)).source.dirty is False
    (small / "more").write_text("x")
    with pytest.raises(UsageError, match="has changes that are not committed") as caught:
        plan.with_commit(make(small))
    assert "git status" in caught.value.hint


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_config_that_is_kept_says_the_same_when_it_is_read_again(tmp_path_factory, value):
    file = tmp_path_factory.getbasetemp() / "kept.yaml"
    file.write_text(f"on: {plan._as_yaml(value)}\n", encoding="utf-8")
    assert pyyaml.safe_load(file.read_text(encoding="utf-8"))
    assert our_yaml.load(file, as_text=True).values["on"] == value


def test_the_kept_config_runs_the_same_again(small, tmp_path):
    planned = make(small, given={"note": "it's: 1.10 # no"})
    (tmp_path / "config.yaml").write_text(planned.job(LOCAL).artifacts["config.yaml"])
    assert make(small, config_files=[tmp_path / "config.yaml"]).values == planned.values


@pytest.mark.parametrize(
    ("stated", "variable", "uri"),
    [
        ("", "", "sqlite:///{here}/mlflow.db"),
        ("sqlite:///x/y.db", "", "sqlite:///{here}/x/y.db"),
        ("sqlite:////x.db", "", "sqlite:////x.db"),
        ("sqlite:///~/x.db", "", "sqlite:///{home}/x.db"),
        ("", "http://server:5000", "http://server:5000"),
        ("sqlite:////x.db", "http://server:5000", "sqlite:////x.db"),
        ("databricks", "", "databricks"),
        ("databricks://profile", "", "databricks://profile"),
        ("./mlruns", "", "{here}/mlruns"),
    ],
)
def test_the_tracking_store(tmp_path, monkeypatch, stated, variable, uri):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    assert plan.tracking_uri(stated) == uri.format(here=tmp_path, home=tmp_path / "home")


def test_the_experiment_is_the_first_that_is_stated(monkeypatch):
    assert plan.experiment("", "", "") == "Default"
    assert plan.experiment("", "", "name") == "name"
    assert plan.experiment("", "setting", "name") == "setting"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "variable")
    assert plan.experiment("", "setting", "name") == "variable"
    assert plan.experiment("stated", "setting", "name") == "stated"


def test_an_entry_point_of_another_name(small):
    text = (small / "MLproject").read_text().replace("finetune:", "fine_tuning_model:")
    (small / "MLproject").write_text(text)
    with pytest.raises(UsageError, match="no entry point 'finetune'"):
        make(small)
    assert make(small, entry_point="fine_tuning_model").entry_point.name == "fine_tuning_model"
    (small / "configs").mkdir()
    (small / "configs/dlops.yaml").write_text("entry_points: {finetune: fine_tuning_model}\n")
    assert make(small).entry_point.name == "fine_tuning_model"
    assert plan.entry_point("finetune", str(small)).name == "fine_tuning_model"


def test_docker_is_an_environment_unless_told(small):
    (small / "MLproject").write_text("docker_env: {image: x}\nentry_points: {finetune: {command: x}}\n")
    assert make(small).environment_kind == "docker"
    assert make(small, environment="local").environment_kind == "local"


def test_a_default_that_is_missing_is_told(small):
    (small / "data.csv").unlink()
    with pytest.raises(UsageError, match="'data' names no file or folder"):
        make(small)


def test_a_broken_config_is_told_with_the_rest(small, tmp_path):
    with pytest.raises((UsageError, ConfigError)) as caught:
        make(small, config_files=[tmp_path / "missing.yaml"], given={"epochs": "0"})
    assert len(caught.value.problems) == 2


def test_a_setting_knows_a_uri():
    def setting(text):
        return load.Setting(Parameter(name="x"), text, "")

    assert [setting(text).is_uri for text in ("s3://x", "runs:/x", "./x", "a b", "")] == [True, True, *[False] * 3]
