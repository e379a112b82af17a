"""What is asked of Model Serving, and what becomes of runs that are about endpoints; against a stand-in for it."""

from __future__ import annotations

import json

import pytest

from dlops.errors import ConfigError, DlopsError, UnreachableError
from dlops.project import jobs
from dlops.targets import databricks_endpoint, following
from dlops.targets.databricks import Databricks
from dlops.targets.databricks_endpoint import DatabricksEndpoint
from dlops.targets.hosted import Hosted
from dlops.targets.workspace import DatabricksSettings
from dlops.worker.job import Job
from tests.targets import databricks_workspace
from tests.targets.databricks_endpoints import until

FILMS = "main.ml.films"
CHAMPION = f"models:/{FILMS}@champion"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABRICKS_TOKEN", databricks_workspace.TOKEN)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    monkeypatch.setattr("databricks.sdk.clock.RealClock.sleep", lambda clock, seconds: None)
    monkeypatch.setattr(following, "_ASK", 0.1)
    monkeypatch.setattr(following, "_POLL", 0.05)
    with databricks_workspace.running(tmp_path / "workspace") as running:
        monkeypatch.setenv("DATABRICKS_HOST", running.host)
        aliases = {"champion": "3", "candidate": "4"}
        running.serving.models = {FILMS: {"versions": ["2", "3", "4"], "aliases": aliases}}
        yield running


def cluster(workspace, **settings):
    return DatabricksEndpoint("dbx", DatabricksSettings(folder="/Volumes/main/ml/x", host=workspace.host, **settings))


@pytest.fixture
def serve(workspace, store, client, tmp_path, monkeypatch):
    """Launch `serve` on an endpoint, until it has been handed over; give what follows it."""

    def launch(_variables=(), _settings=(), **params):
        found = cluster(workspace, **dict(_settings))
        monkeypatch.setattr(jobs.names, "clusters", lambda name: [found])
        return Hosted(found, variables=dict(_variables)).start(job(store, str(tmp_path), **params), lambda event: None)

    return launch


def job(store="http://x", lock_folder="", **params):
    asked = {"model": CHAMPION, "split": "0.1", "log_texts": "redacted", "port": "8000", **params}
    texts = dict.fromkeys(("step", "entry_point", "command", "folder", "experiment"), "serve")
    changed = tuple(params)
    return Job(
        **texts, target="dbx", tracking_uri=store, lock_folder=lock_folder, params=asked, changed=changed, run_id="a"
    )


def endpoint(workspace, name="main-ml-films"):
    return workspace.serving.all[name]


def ready(launched):
    """Follow a run until its endpoint answers; give what was said on the way."""
    said = []
    for event in launched.events():
        said.append(event)
        if event["event"] == "ready":
            return said
    raise AssertionError(said)


def ended(launched):
    """Follow a run to its end."""
    return list(launched.events())[-1]


def looked_at(client, launched):
    """Look at a run from elsewhere, and give it as it is then."""
    jobs.look_after(client, client.get_run(launched._run_id), set())
    return client.get_run(launched._run_id)


def test_an_endpoint_is_made_and_told_when_it_answers(workspace, serve, client):
    launched = serve()
    *waiting, last = ready(launched)
    url = f"{workspace.host}/serving-endpoints/main-ml-films/invocations"
    assert last["outputs"] == {"url": url}
    first, *_, told = [event["text"] for event in waiting if event["event"] == "waiting"]
    assert first.startswith("The endpoint main-ml-films is being made ready (main-ml-films-3: DEPLOYMENT_CREATING Con")
    assert told == f"The endpoint main-ml-films answers: {url}"
    run = client.get_run(launched._run_id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["dlops.output.url"] == url
    assert run.data.tags["dlops.resolved.model"] == f"models:/{FILMS}/3"
    assert run.data.tags["dlops.page"] == f"{workspace.host}/ml/endpoints/main-ml-films"
    assert run.data.params["model"] == CHAMPION, "what a worker would log is logged"
    assert "dlops.heartbeat" not in run.data.tags
    assert endpoint(workspace).tags == {"dlops_run": launched._run_id}
    assert not workspace.received, "no file was sent"


def test_what_is_asked_for_of_an_endpoint(workspace, serve):
    settings = {"endpoint": "films", "workload_type": "GPU_SMALL", "workload_size": "Medium", "scale_to_zero": True}
    settings["secrets"] = {"HF_TOKEN": "films/hub"}
    serve({"HF_HOME": "/tmp/hf"}, settings, log_to="/home/ann/tables/main.logs.films", log_texts="full")
    (method, path, asked) = workspace.serving.requests[0]
    assert (method, path) == ("POST", "/api/2.0/serving-endpoints")
    (entity,) = asked["config"]["served_entities"]
    assert entity == {
        "name": "main-ml-films-3",
        "entity_name": FILMS,
        "entity_version": "3",
        "workload_size": "Medium",
        "workload_type": "GPU_SMALL",
        "scale_to_zero_enabled": True,
        "environment_vars": {"HF_HOME": "/tmp/hf", "HF_TOKEN": "{{secrets/films/hub}}"},
    }
    table = {"enabled": True, "catalog_name": "main", "schema_name": "logs", "table_name_prefix": "films"}
    assert asked["ai_gateway"] == {"inference_table_config": table}
    assert asked["config"]["traffic_config"]["routes"] == [
        {"served_entity_name": "main-ml-films-3", "traffic_percentage": 100}
    ]


def test_a_second_run_updates_the_endpoint_and_the_first_one_ends(workspace, serve, client):
    first = serve(model=f"models:/{FILMS}/2")
    ready(first)
    endpoint(workspace).gateway = {"rate_limits": [{"calls": 9, "renewal_period": "minute"}]}
    workspace.serving.seconds = 1.0
    second = serve(challenger=f"models:/{FILMS}@candidate", split="0.25", log_to="main.logs.films", log_texts="full")
    said = ready(second)
    assert any("is being updated" in event.get("text", "") for event in said)
    assert "POST" not in [method for method, *_ in workspace.serving.requests[1:]], "it was updated in its place"
    assert endpoint(workspace).config["traffic_config"]["routes"] == [
        {"served_entity_name": "main-ml-films-3", "traffic_percentage": 75},
        {"served_entity_name": "main-ml-films-4", "traffic_percentage": 25},
    ]
    assert endpoint(workspace).gateway["rate_limits"], "what the gateway does otherwise stays"
    assert endpoint(workspace).gateway["inference_table_config"]["catalog_name"] == "main"
    tags = client.get_run(second._run_id).data.tags
    assert tags["dlops.resolved.challenger"] == f"models:/{FILMS}/4"
    old = looked_at(client, first)
    assert old.info.status == "KILLED"
    assert old.data.tags["dlops.error"] == f"ended: run {second._run_id} has taken its endpoint main-ml-films over"
    assert ended(first)["status"] == "KILLED"
    jobs.ask_to_end(client, old)
    first.terminate()
    assert "main-ml-films" in workspace.serving.all, "it is another run's"
    assert looked_at(client, second).info.status == "RUNNING"


def test_an_update_that_fails_is_told_in_the_words_of_the_service(workspace, serve, client):
    workspace.serving.failure = "UPDATE_FAILED:No module named 'torch'"
    launched = serve()
    last = ended(launched)
    assert last["event"] == "lost"
    run = client.get_run(launched._run_id)
    assert run.info.status == "FAILED"
    log, said = run.data.tags["dlops.error"].rsplit("\n", 1)
    assert said == (
        "The endpoint main-ml-films could not be given its configuration"
        " (main-ml-films-3: DEPLOYMENT_FAILED No module named 'torch')."
    )
    assert log == "== main-ml-films-3, build\nCollecting torch\nSuccessfully built"
    assert client.list_artifacts(launched._run_id, "logs"), "the log is kept with the run"


def test_an_endpoint_whose_update_fails_answers_as_before(workspace, serve, client):
    first = serve()
    ready(first)
    workspace.serving.failure = "UPDATE_FAILED:out of memory"
    second = serve(model=f"models:/{FILMS}/4")
    way_out = f"It goes on answering as before; `dlops cancel {second._run_id}` deletes it."
    assert ended(second)["text"].endswith(f"out of memory). {way_out}")
    assert endpoint(workspace).config["served_entities"][0]["entity_version"] == "3"
    assert not jobs.stop_what_is_left(looked_at(client, first)), "it is the second one's by now"
    assert jobs.stop_what_is_left(client.get_run(second._run_id))
    assert workspace.serving.all == {}
    assert not jobs.stop_what_is_left(client.get_run(second._run_id))


def test_requests_are_kept_of_an_endpoint_that_takes_the_update(workspace, serve):
    ready(serve())
    workspace.serving.models[FILMS]["versions"].remove("4")
    with pytest.raises(UnreachableError, match="does not exist"):
        serve(model=f"models:/{FILMS}/4", log_to="main.logs.films", log_texts="full")
    assert endpoint(workspace).gateway == {}


@pytest.mark.parametrize(
    ("failure", "said"), [("UPDATE_FAILED:no room", "failed"), ("UPDATE_CANCELED", "was cancelled")]
)
def test_an_update_that_somebody_else_makes_in_vain_ends_no_run(workspace, serve, client, failure, said):
    ready(serve())
    launched = serve(model=f"models:/{FILMS}/4")
    ready(launched)
    workspace.serving.failure = failure
    endpoint(workspace).begin({**endpoint(workspace).config, "served_entities": []}, 0.0)
    run = looked_at(client, launched)
    assert run.info.status == "RUNNING"
    state = cluster(workspace).state(run.data.tags["dlops.handle"])
    assert state.ready
    assert state.text.endswith(f"/main-ml-films/invocations (a later update of it {said})")


def test_an_update_that_fails_is_told_of_the_same_versions_too(workspace, serve, client):
    ready(serve())
    workspace.serving.failure = "UPDATE_FAILED:no room"
    assert ended(serve({}, {"workload_size": "Large"}))["event"] == "lost"


@pytest.mark.parametrize("where", ["deleted", "cancelled"])
def test_what_is_done_in_the_workspace_is_seen(workspace, serve, client, where):
    launched = serve()
    if where == "deleted":
        del workspace.serving.all["main-ml-films"]
    else:
        workspace.serving.failure = "UPDATE_CANCELED"
    run = until(lambda: (found := looked_at(client, launched)).info.status != "RUNNING" and found)
    assert run.info.status == "KILLED"
    its = "its endpoint" if where == "deleted" else "the update of its endpoint"
    assert run.data.tags["dlops.error"] == f"ended: {its} main-ml-films was {where} in the workspace"


@pytest.mark.parametrize("when", ["at once", "when it answers"])
def test_cancelling_deletes_the_endpoint_and_keeps_its_log(workspace, serve, client, when):
    launched = serve()
    if when != "at once":
        ready(launched)
    jobs.ask_to_end(client, client.get_run(launched._run_id))
    assert workspace.serving.all == {}
    run = looked_at(client, launched)
    assert (run.info.status, run.data.tags["dlops.error"]) == ("KILLED", "cancelled")
    (kept,) = client.list_artifacts(launched._run_id, "logs/1")
    assert kept.path


def test_cancelling_is_not_done_before_the_workspace_has_done_it(workspace, serve, client):
    launched = serve()
    workspace.expired = True
    with pytest.raises(UnreachableError, match="Invalid access token"):
        jobs.ask_to_end(client, client.get_run(launched._run_id))
    assert client.get_run(launched._run_id).info.status == "RUNNING", "it answers still"
    workspace.expired = False
    assert looked_at(client, launched).info.status == "RUNNING"


def test_whoever_cannot_reach_the_endpoint_cannot_end_its_run(workspace, serve, client, monkeypatch):
    launched = serve()
    monkeypatch.setattr(jobs.names, "clusters", lambda name: [])
    with pytest.raises(UnreachableError, match="Only dbx can end run"):
        jobs.ask_to_end(client, client.get_run(launched._run_id))
    assert client.get_run(launched._run_id).info.status == "RUNNING"


def test_its_log_comes_from_the_workspace_as_long_as_it_is_there(workspace, serve, client):
    launched = serve()
    found = jobs.log(client.get_run(launched._run_id))
    assert found == "== main-ml-films-3, build\nCollecting torch\nSuccessfully built\n", "no server runs yet"
    ready(launched)
    assert jobs.log(client.get_run(launched._run_id)).endswith("== main-ml-films-3, server\n[2026-01-01] ready\n")
    del workspace.serving.all["main-ml-films"]
    assert jobs.log(client.get_run(launched._run_id)) == ""


@pytest.mark.parametrize("faults", [[503], ["cut"], ["lost"], ["cut", "lost", 503], [503, 429, "lost"]])
@pytest.mark.parametrize("there", [False, True])
def test_an_endpoint_is_changed_once_whatever_happens_on_the_way(workspace, serve, there, faults):
    if there:
        ready(serve(model=f"models:/{FILMS}/2"))
    before = endpoint(workspace).versions if there else 0
    workspace.serving.seconds = 5.0
    workspace.serving.faults = [*faults]
    launched = serve()
    assert endpoint(workspace).versions == before + 1
    assert endpoint(workspace).tags == {"dlops_run": launched._run_id}
    assert workspace.serving.faults == []


def test_the_tag_too_may_be_answered_late(workspace, serve):
    ready(serve(model=f"models:/{FILMS}/2"))
    workspace.serving.faults = [None, "lost", 503]
    launched = serve()
    assert endpoint(workspace).tags == {"dlops_run": launched._run_id}


def test_an_update_is_refused_while_another_one_goes_on(workspace, serve, client):
    workspace.serving.seconds = 60.0
    first = serve()
    with pytest.raises(UnreachableError, match=f"is being updated by run {first._run_id}") as caught:
        serve(model=f"models:/{FILMS}/4")
    assert "dlops cancel" in caught.value.hint
    assert endpoint(workspace).tags == {"dlops_run": first._run_id}, "the first one's it stays"
    assert endpoint(workspace).pending["served_entities"][0]["entity_version"] == "3"
    statuses = [run.info.status for run in client.search_runs(client_experiments(client))]
    assert sorted(statuses) == ["FAILED", "RUNNING"]


def client_experiments(client):
    return [experiment.experiment_id for experiment in client.search_experiments()]


def test_an_endpoint_that_no_run_has_made_is_left_alone_unless_it_is_named(workspace, serve):
    ready(serve())
    endpoint(workspace).tags = {"team": "films"}
    with pytest.raises(ConfigError, match="has an endpoint main-ml-films already, which no run of dlops") as caught:
        serve(model=f"models:/{FILMS}/4")
    assert "`endpoint: main-ml-films`" in caught.value.hint
    assert endpoint(workspace).versions == 1
    launched = serve({}, {"endpoint": "main-ml-films"}, model=f"models:/{FILMS}/4")
    assert endpoint(workspace).tags == {"team": "films", "dlops_run": launched._run_id}


def test_an_endpoint_that_was_changed_by_hand_does_not_answer_as_this_run(workspace, serve, client):
    launched = serve()
    ready(launched)
    endpoint(workspace).config["served_entities"][0]["name"] = "other"
    state = cluster(workspace).state(client.get_run(launched._run_id).data.tags["dlops.handle"])
    assert (state.over, state.ready) == (False, False)
    assert state.text == "The endpoint main-ml-films has not got this run's configuration."


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": f"models:/{FILMS}@champoin"}, "has no alias champoin"),
        ({"model": f"models:/{FILMS}/9"}, "The model main.ml.films version 9 does not exist"),
        ({"challenger": CHAMPION}, "model and challenger are the same version: main.ml.films 3"),
    ],
)
def test_what_only_the_service_knows_ends_the_run(workspace, serve, client, params, said):
    with pytest.raises(DlopsError, match=said):
        serve(**params)
    (run,) = client.search_runs(client_experiments(client))
    assert run.info.status == "FAILED"
    assert said in run.data.tags["dlops.error"]
    assert workspace.serving.all == {}


def test_what_is_wrong_is_told_before_anything_begins(workspace, monkeypatch):
    wrong = cluster(
        workspace, endpoint="my films", workload_size="small", workload_type="GPU_HUGE", secrets={"HF_TOKEN": "hub"}
    )
    asked = job(
        model="runs:/abc/model",
        challenger="models:/m-123",
        split="0.125",
        log_to="/home/ann/tables/requests",
        port="8080",
        shadow=CHAMPION,
    )
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry")
    asked.variables["API_TOKEN"] = "x"
    found = wrong.problems(asked)
    said = [
        "the target dbx: endpoint is up to 63 letters, digits, - and _, not 'my films'",
        "the target dbx: workload_size is one of Small, Medium, Large, not small",
        "the target dbx: workload_type is one of CPU, CPU_LARGE, CPU_MEDIUM, GPU_LARGE",
        "the target dbx: the secret HF_TOKEN is named SCOPE/KEY",
        "API_TOKEN would be seen in the endpoint's settings",
        "an endpoint of dbx serves models of that workspace, and those of http://registry are elsewhere",
        "model=runs:/abc/model: an endpoint serves registered models",
        "challenger=models:/m-123: an endpoint serves registered models",
        "port, shadow: an endpoint of dbx has no such setting",
        "split=0.125: Databricks splits by whole percentages, and this is 12.5",
        "log_to=requests: an inference table is named CATALOG.SCHEMA.PREFIX",
        "an inference table keeps the texts as they are: say so by log_texts=full",
    ]
    assert len(found) == len(said)
    for problem, beginning in zip(found, said, strict=True):
        assert problem.startswith(beginning)
    assert workspace.serving.requests == []


def test_what_is_right_is_no_problem(workspace):
    asked = job(challenger=f"models:/{FILMS}/4", split="0.29", log_to="/x/main.logs.films", log_texts="full")
    assert cluster(workspace).problems(asked) == []
    name = f"{'a' * 30}.{'b' * 20}.{'c' * 12}"
    (problem,) = cluster(workspace).problems(job(model=f"models:/{name}/1"))
    assert "may have endpoint: NAME" in problem
    assert cluster(workspace, endpoint="films").problems(job(model=f"models:/{name}/1")) == []


@pytest.mark.parametrize("share", range(101))
def test_every_whole_percentage_is_one(share):
    assert databricks_endpoint._percent(job(split=str(share / 100))) == share


def test_the_registry_must_be_found_where_the_endpoint_is(workspace, monkeypatch):
    monkeypatch.setenv("DATABRICKS_HOST", "https://other.example.org")
    (problem,) = cluster(workspace).problems(job())
    assert problem.endswith(f"export DATABRICKS_HOST={workspace.host}")
    monkeypatch.setenv("DATABRICKS_CONFIG_PROFILE", "films")
    assert cluster(workspace).problems(job()) == []


def test_a_handle_is_of_its_kind_and_workspace_alone(workspace):
    found = cluster(workspace)
    handle = {"kind": "databricks-endpoint", "host": workspace.host, "endpoint": "films", "run": "a"}
    assert found.owns(json.dumps(handle))
    assert not found.owns(json.dumps({**handle, "host": "https://other.example.org"}))
    assert not found.owns(json.dumps({**handle, "kind": "databricks"}))
    assert not Databricks("dbx", found.settings).owns(json.dumps(handle))
