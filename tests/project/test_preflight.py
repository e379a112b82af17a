"""Every problem before anything is created."""

from __future__ import annotations

import pytest

from dlops.errors import ConfigError
from dlops.project import plan, preflight
from dlops.project.environment import Environment
from dlops.targets.local import Local


@pytest.mark.parametrize(
    "uri",
    [
        *("sqlite:////tmp/x.db", "sqlite+pysqlite:////tmp/x.db", "postgresql+psycopg2://u:p@h/d", "mysql://h/d"),
        *("http://h:5000", "https://h/path", "databricks", "databricks://profile"),
    ],
)
def test_stores_that_mlflow_knows(uri):
    assert preflight.tracking_store(uri) == []


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("htpp://h", "did you mean 'http'"),
        ("postgres://h/d", "did you mean 'postgresql'"),
        ("redis://h", "no tracking store 'redis'"),
        ("databricks-uc", "is a model registry"),
        ("./mlruns", "--tracking-uri sqlite:///mlruns.db"),
        ("file:///tmp/runs", "--tracking-uri sqlite:///runs.db"),
        ("localhost:5000", "did you mean 'http://localhost:5000'"),
        ("127.0.0.1:5000/x", "did you mean 'http://127.0.0.1:5000/x'"),
        ("sqlite://x.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:x.db", "folder of files"),
    ],
)
def test_what_is_none_is_told(uri, said):
    (problem,) = preflight.tracking_store(uri)
    assert said in problem


def test_a_folder_of_files_may_be_allowed(monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert preflight.tracking_store("./mlruns") == []
    assert preflight.tracking_store("file:///tmp/mlruns") == []


def check(small, **fields):
    planned = plan.make(plan.Request(step="finetune", uri=str(small), **fields))
    preflight.check(planned, planned.job(Environment("local", ())), Local())


def test_environment_store_and_target_together(small, contents):
    before = contents()
    with pytest.raises(ConfigError) as caught:
        check(small, environment="uvv", tracking_uri=f"sqlite:///{small}")
    assert len(caught.value.problems) == 2
    assert "no environment 'uvv'; did you mean 'uv'" in str(caught.value)
    assert contents() == before


def test_a_table_that_nobody_would_find_again_is_refused(tmp_path):
    (tmp_path / "MLproject").write_text(
        "name: x\nentry_points: {ingest: {parameters: {table: {type: table, default: ''}}, command: 'true {table}'}}"
    )

    def problems(value, *, forgets):
        planned = plan.make(plan.Request(step="ingest", uri=str(tmp_path), given={"table": value} if value else {}))
        target = Local()
        target.forgets = forgets
        try:
            preflight.check(planned, planned.job(Environment("local", ())), target)
        except ConfigError as error:
            return error.problems
        return []

    assert problems("", forgets=False) == problems("s3://films/table", forgets=True) == []
    (problem,) = problems("", forgets=True)
    assert problem.startswith("table is left out")


def test_docker_is_refused_with_a_way_out(small):
    (small / "MLproject").write_text("docker_env: {image: x}\nentry_points: {finetune: {command: x}}\n")
    with pytest.raises(ConfigError, match="--env local"):
        check(small)
    check(small, environment="local")


def test_an_environment_without_its_file(small):
    with pytest.raises(ConfigError, match=r"needs a conda\.yaml or python_env\.yaml"):
        check(small, environment="uv")
