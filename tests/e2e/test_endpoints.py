"""`dlops serve` on Model Serving, as it is typed: one endpoint, told, looked at, updated and deleted from any shell."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import servers
from tests.targets import databricks_workspace
from tests.targets.databricks_endpoints import until

pytestmark = pytest.mark.xdist_group("targets")

ROOT = Path(__file__).parents[2]
FILMS = "models:/main.ml.films"
ASKED = ("serve", "--on", "dbx", "--uri", ROOT)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory, initialised_store):
    with servers.tracking(tmp_path_factory.mktemp("tracking"), initialised_store) as server:
        yield server
        assert "RUNNING" not in server.statuses(), "a run was left open"


@pytest.fixture
def workspace(tmp_path):
    with databricks_workspace.running(tmp_path / "workspace") as running:
        aliases = {"champion": "3", "candidate": "4"}
        running.serving.models = {"main.ml.films": {"versions": ["3", "4"], "aliases": aliases}}
        yield running
        assert running.received == [], "no file was sent"


@pytest.fixture
def films(fresh_shell, tracking, workspace):
    """A shell that knows the workspace."""
    shell = fresh_shell
    shell.environ |= {"MLFLOW_TRACKING_URI": tracking.uri, "MLFLOW_REGISTRY_URI": "databricks-uc"}
    shell.environ |= {"DATABRICKS_HOST": workspace.host, "DATABRICKS_TOKEN": databricks_workspace.TOKEN}
    (shell.folder / "configs").mkdir()
    target = f"dbx: {{kind: databricks, folder: /Volumes/main/ml/x, host: '{workspace.host}', scale_to_zero: true}}"
    (shell.folder / "configs/targets.yaml").write_text(target)
    return shell


@pytest.mark.slow
def test_one_endpoint_from_its_first_version_to_its_end(films, workspace):
    workspace.serving.seconds = 7.0  # longer than until the first look
    done = films.run(*ASKED, f"model={FILMS}@champion")
    url = f"{workspace.host}/serving-endpoints/main-ml-films/invocations"
    assert url in done.stdout
    assert "is being made ready (main-ml-films-3: DEPLOYMENT_CREATING" in done.stderr
    assert f"dbx: {workspace.host}/ml/endpoints/main-ml-films" in done.stderr
    (first,) = films.json("status")
    assert (first["status"], first["outputs"], first["heartbeat_s"]) == ("RUNNING", {"url": url}, None)
    assert first["resolved"] == {"model": f"{FILMS}/3"}
    assert first["params"]["model"] == f"{FILMS}@champion"
    assert "Successfully built\n" in films.run("logs", first["run_id"]).stdout

    workspace.serving.seconds = 0.3
    second = films.json(*ASKED, f"model={FILMS}@champion", f"challenger={FILMS}@candidate", "split=0.2")
    assert (second["status"], second["outputs"]) == ("RUNNING", {"url": url})
    shares = workspace.serving.all["main-ml-films"].config["traffic_config"]["routes"]
    assert [route["traffic_percentage"] for route in shares] == [80, 20]
    old = films.json("status", first["run_id"])
    assert (old["status"], old["error"]) == (
        "KILLED",
        f"ended: run {second['run_id']} has taken its endpoint main-ml-films over",
    )
    refused = films.run("cancel", first["run_id"], exit_code=2)
    assert "is not running" in refused.stderr

    assert films.json("cancel", second["run_id"])["status"] == "KILLED"
    assert workspace.serving.all == {}
    log = films.run("logs", second["run_id"]).stdout
    assert "== main-ml-films-4, server\n[2026-01-01] ready\n" in log, "it was kept"


def test_what_is_wrong_is_told_and_nothing_is_made(films, workspace):
    words = (f"model={FILMS}@champion", "port=9000", f"challenger={FILMS}@candidate", "split=0.125", "--dry-run")
    refused = films.json(*ASKED, *words, exit_code=2)["error"]
    assert "port: an endpoint of dbx has no such setting" in refused["message"]
    assert "split=0.125: Databricks splits by whole percentages" in refused["message"]
    assert films.json(*ASKED, f"model={FILMS}@champion", "port=8000", "--dry-run")["status"] == "PLANNED"
    assert workspace.serving.requests == []


def test_an_update_that_fails_is_a_failed_step(films, workspace):
    workspace.serving.failure = "UPDATE_FAILED:No module named 'torch'"
    failed = films.json(*ASKED, f"model={FILMS}@champion", exit_code=4)
    assert failed["status"] == "FAILED"
    assert failed["error"]["message"].startswith("serve failed.\n== main-ml-films-3, build\n")
    assert failed["error"]["message"].endswith("DEPLOYMENT_FAILED No module named 'torch').")
    assert films.json("cancel", failed["run_id"])["status"] == "FAILED"
    assert workspace.serving.all == {}, "what it has left is deleted"
    assert "is not running" in films.run("cancel", failed["run_id"], exit_code=2).stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_whoever_stops_waiting_ends_nothing_and_others_go_on(films, workspace, how):
    workspace.serving.seconds = 3600.0
    process = films.start(*ASKED, f"model={FILMS}@champion")
    (run,) = until(lambda: [run for run in films.json("status") if run["status"] == "RUNNING" and run["page"]])
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (0 if how == signal.SIGTERM else -how), err
    assert films.json("status", run["run_id"])["outputs"] == {}
    log = films.start("logs", run["run_id"], "-f")
    workspace.serving.all["main-ml-films"].due = 0.0
    assert "url" in films.json("status", run["run_id"])["outputs"]
    until(lambda: "logs" in [path.rpartition("/")[2] for path in workspace.serving.read])
    assert films.json("cancel", run["run_id"])["status"] == "KILLED"
    out, err = log.communicate(timeout=60)
    assert log.returncode == 0, err
    assert out.count("Successfully built") == out.count("[2026-01-01] ready") == 1
