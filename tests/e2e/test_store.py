"""The tracking store: initialised once however many come at once, and a real PostgreSQL as well as SQLite."""

from __future__ import annotations

import json
import re

import pytest

QUICK = {"MLproject": json.dumps({"name": "quick", "entry_points": {"ingest": {"command": "echo one of many"}}})}


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_eight_first_launches_at_once_all_succeed(fresh_shell, project):
    project(**QUICK)
    launches = [fresh_shell.start("ingest", "--json") for _ in range(8)]
    documents = []
    for launch in launches:
        out, err = launch.communicate(timeout=200)
        assert launch.returncode == 0, err
        documents.append(json.loads(out))
    assert len({document["run_id"] for document in documents}) == 8
    assert fresh_shell.statuses() == ["FINISHED"] * 8


def test_runs_are_recorded_in_postgresql(fresh_shell, project, tmp_path):
    pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL is packaged for this Python")
    project(**QUICK)
    with pgserver.get_server(tmp_path / "postgres", cleanup_mode="stop") as server:
        uri = server.get_uri()
        document = fresh_shell.json("ingest", "--tracking-uri", uri)
        assert document["status"] == "FINISHED"
        listed = fresh_shell.json("status", "--tracking-uri", uri)
        assert [(run["run_id"], run["status"]) for run in listed] == [(document["run_id"], "FINISHED")]


def test_artifacts_lie_beside_the_database_wherever_it_is(fresh_shell, project, tmp_path):
    project(**QUICK)
    store = tmp_path / "elsewhere" / "runs.db"
    fresh_shell.json("ingest", "--tracking-uri", f"sqlite:///{store}")
    assert list(store.parent.glob("mlruns/*/*/artifacts/logs/1/000001.log"))
    assert not list(fresh_shell.folder.glob("mlruns"))


def test_a_server_is_a_store_too_and_what_mlflow_prints_is_not_taken_for_an_event(shell, project):
    project(**QUICK)
    shell.environ["PYTHONUNBUFFERED"] = "1"  # as in most containers: MLflow prints the address of each run it ends
    server = shell.start("ui", "--port", "0")
    address = next(found for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
    document = shell.json("ingest", "--tracking-uri", address[0])
    assert document["status"] == "FINISHED"
    assert document["url"].startswith(f"{address[0]}/#/experiments/")
    server.terminate()
    server.communicate(timeout=30)
