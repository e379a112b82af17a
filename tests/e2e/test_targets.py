"""One project, launched in every way: same record, exit codes and truth everywhere.

In a folder, in an environment of its own, from a Git server, on a Ray cluster of two nodes, on Databricks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import processes, servers
from tests.ml.conftest import simple_rows, tiny_model  # noqa: F401 - a fixture
from tests.project import git_servers
from tests.project.test_source import Repository
from tests.targets import databricks_workspace, ray_clusters

pytestmark = pytest.mark.xdist_group("targets")
slow = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-s3cret"
PASSWORD = "hunter2-of-the-git-server"
SENT = ["'.gitignore'", "'MLproject'", "'conda.yaml'", "'data.csv'", "'step.py'"]
"""What is tracked, and nothing else, leaves this machine."""
PROJECT = {
    "MLproject": """
name: films
conda_env: conda.yaml
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2}
      data: {type: path, default: data.csv}
      api_key: {type: str, default: ""}
      do: {type: str, default: nothing}
    command: "python step.py {epochs} {data} {api_key} {do}"
""",
    "step.py": """
import os, sys, time, mlflow
epochs, data, key, do = sys.argv[1:]
print("reads", open(data).read().strip(), "with", key, flush=True)
print("finds", sorted(name for name in os.listdir() if name != "__pycache__"), flush=True)
if do == "crash":
    raise RuntimeError("no room on the disk")
with mlflow.start_run():
    for step in range(int(epochs)):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    mlflow.set_tag("dlops.output.model", "models:/films/1")
    if do == "refuse":
        mlflow.set_tag("dlops.gate", "accuracy")
if do == "refuse":
    sys.exit(3)
for second in range(600 if do == "wait" else 25 if do == "work" else 0):
    print("second", second, flush=True)
    time.sleep(1)
print("done")
""",
    "conda.yaml": f"dependencies: [python=3.{sys.version_info.minor}, {{pip: ['mlflow-skinny=={version('mlflow')}']}}]",
    "data.csv": "text,label",
    ".gitignore": ".env\n",
}


@dataclass
class Places:
    """Where jobs can go, and where they are recorded."""

    server: servers.TrackingServer
    workspace: databricks_workspace.Workspace
    cluster: ray_clusters.RayCluster
    """Begun by the first test that needs it: it takes half a minute."""
    git: git_servers.Web
    """Lets in who has the password."""
    home: str = ""
    """Of the shell that launches."""

    def words(self, on: str) -> tuple[str, ...]:
        """Give what is typed to launch the project so."""
        if on in TARGETS:
            return ("--on", on)
        return {"folder": (), "uv": ("--env", "uv"), "git": ("--uri", f"{self.git.url}/films.git")}[on]

    def processes(self) -> dict[int, str]:
        """List what runs for the jobs: number → command line."""
        found = processes.carrying(databricks_workspace.MARK, self.workspace.mark)
        found |= processes.carrying("DLOPS_HOME", self.home)
        for name in self.cluster.names():
            found |= processes.carrying(ray_clusters.MARK, name)
        return found

    def pid_of(self, *words: str, seconds: float = 60) -> int:
        """Wait for a process with one of these words in its command line, and no shell's."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for pid, command in self.processes().items():
                if any(word in command for word in words) and "bash -c" not in command and "/bin/sh" not in command:
                    return pid
            time.sleep(0.2)
        raise AssertionError(f"no process has {words!r}: {[each[:80] for each in self.processes().values()]}")


@pytest.fixture(scope="module")
def places(tmp_path_factory, initialised_store):
    """A tracking server, a workspace, and a cluster."""
    with contextlib.ExitStack() as all_of:
        server = all_of.enter_context(servers.tracking(tmp_path_factory.mktemp("tracking"), initialised_store))
        workspace = all_of.enter_context(databricks_workspace.running(tmp_path_factory.mktemp("workspace")))
        cluster = all_of.enter_context(ray_clusters.stopped_at_the_end())
        git = all_of.enter_context(git_servers.web(tmp_path_factory.mktemp("git"), PASSWORD))
        yield Places(server, workspace, cluster, git)
        assert "RUNNING" not in server.statuses(), "a run was left open"


@pytest.fixture
def ray(places):
    """The cluster, of two nodes; the second one alone has what jobs ask for."""
    if not places.cluster.names():
        places.cluster.start()
        places.cluster.join('{"worker": 1}')
    return places.cluster


@pytest.fixture
def films(fresh_shell, places, request):
    """A shell in a clone of the project, with targets; `none` is one that has no room."""
    if "on" not in request.fixturenames or request.getfixturevalue("on") == "gpu":
        request.getfixturevalue("ray")
    shell = fresh_shell
    shell.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "MLFLOW_TRACKING_URI": places.server.uri}
    shell.environ |= {"DATABRICKS_TOKEN": databricks_workspace.TOKEN}
    shell.environ |= {"DLOPS_GIT_USERNAME": "ann", "DLOPS_GIT_TOKEN": PASSWORD}
    work = Repository(shell.folder)
    work.commit(**PROJECT)
    bare = places.git.folder / "films.git"
    shutil.rmtree(bare, ignore_errors=True)
    work("clone", "--quiet", "--bare", ".", str(bare))
    places.home = shell.environ["DLOPS_HOME"]
    work.write(".env", f"TOKEN={SECRET}")
    work.write("untracked.txt", SECRET)
    targets = [
        f"{name}: {{kind: ray, address: '{places.cluster.address}', cpus: 0.5, resources: {{{resource}: 0.5}}}}"
        for name, resource in {"gpu": "worker", "none": "other", "spot": "spot"}.items()
    ]
    workspace = f"host: '{places.workspace.host}', cluster: {databricks_workspace.CLUSTER}"
    targets.append(f"dbx: {{kind: databricks, folder: /Volumes/main/ml/films, {workspace}}}")
    work.write("configs/targets.yaml", "\n".join(targets))
    temporary = shell.folder.parent / "temporary"
    temporary.mkdir()
    shell.environ["TMPDIR"] = str(temporary)
    yield shell
    assert not [command for command in places.processes().values() if "worker.pyz" in command or "step.py" in command]
    assert not places.workspace.sent(), "what was sent is left"
    folders = (temporary, places.workspace.temporary, places.cluster.temporary)
    assert not [folder for place in folders for folder in place.glob("dlops-*")], "a folder is left"
    assert not list(Path(shell.environ["DLOPS_HOME"]).glob("cache/git/*/trees/*")), "a work tree is left"


def alike(document):
    """What must not depend on where a step ran."""
    keys = ("status", "step", "entry_point", "metrics", "outputs")
    params = document["params"] | {"data": Path(document["params"].get("data", "")).name}  # each has its own folder
    error = (document.get("error") or {}).get("kind")
    return {key: document[key] for key in keys} | {"params": params, "error": error}


TARGETS = ("gpu", "dbx", "none", "spot")
elsewhere = pytest.mark.parametrize("on", [pytest.param("gpu", marks=slow), "dbx"])
everywhere = pytest.mark.parametrize(
    "on", [*(pytest.param(on, marks=slow) for on in ("folder", "uv", "git", "gpu")), "dbx"]
)


@pytest.mark.parametrize(
    ("words", "exit_code", "printed"),
    [
        (("epochs=3",), 0, "reads text,label with"),
        (("do=crash",), 4, "RuntimeError: no room on the disk"),
        pytest.param(("do=refuse",), 3, "reads text,label", marks=slow),
    ],
)
@everywhere
def test_it_is_recorded_as_in_a_folder(films, places, on, words, exit_code, printed):
    here = films.json("finetune", *words, exit_code=exit_code)
    there = films.json("finetune", *words, *places.words(on), exit_code=exit_code)
    assert alike(there) == alike(here)
    assert (there["target"], here["target"]) == (on if on in TARGETS else "local", "local")
    log = films.run("logs", there["run_id"]).stdout
    assert printed in log
    assert films.run("logs", here["run_id"]).stdout.splitlines()[0] == log.splitlines()[0]
    if exit_code == 4:
        assert printed in there["error"]["message"]
    if on in TARGETS:
        assert f"finds [{', '.join(SENT)}]" in log, "no other file has left this machine"
    tags = [films.json("status", run["run_id"]) for run in (here, there)]
    assert tags[0]["commit"] == tags[1]["commit"]
    assert tags[0].keys() == tags[1].keys()


def test_it_is_recorded_so_by_ray_too(films):
    here, there = (films.json("finetune", "epochs=3", f"api_key={SECRET}", "--on", on) for on in ("local", "gpu"))
    assert alike(there) == alike(here)
    log = films.run("logs", there["run_id"]).stdout
    assert "reads text,label with ***" in log
    assert f"finds [{', '.join(SENT)}]" in log, "no other file has left this machine"


@slow
def test_a_secret_is_found_nowhere(films, places):
    films.environ["TOKEN_OF_MINE"] = SECRET
    store = f"--tracking-uri={places.server.uri.replace('//', f'//a:{SECRET}@')}"
    done = films.json("finetune", f"api_key={SECRET}", "--on", "gpu", store)
    assert "reads text,label with ***" in films.run("logs", done["run_id"]).stdout
    films.run("finetune", "--on", "dbx", store)
    url = f"http://ann:{PASSWORD}@{places.git.address}/films.git"
    films.run("finetune", f"api_key={SECRET}", "--uri", url, store)
    refused = films.run("finetune", f"api_key={SECRET}", "--on", "dbx", exit_code=2)
    assert "api_key would lie in the workspace" in refused.stderr
    found = []
    folders = (places.server.folder, places.cluster.folder, places.workspace.folder, Path(films.environ["DLOPS_HOME"]))
    for file in [file for folder in folders for file in folder.rglob("*")]:
        with contextlib.suppress(OSError):
            text = file.read_bytes() if file.is_file() else b""
            if SECRET.encode() in text or PASSWORD.encode() in text:
                found.append(file)
    assert found == []


OLD = {
    "MLproject": """
name: old
conda_env: conda.yaml
entry_points:
  fine_tuning_model:
    parameters: {times: {type: float, default: 1}}
    command: "python tune.py --times {times}"
""",
    "conda.yaml": "dependencies: [python=3.11, pip, {pip: [colorama==0.4.6]}]\n",
    "tune.py": "import sys\ntry:\n    import colorama as c\nexcept ImportError:\n    c = None\n"
    "print('old', sys.argv[1:], getattr(c, '__version__', 'none'))\n",
}


@pytest.fixture
def remote(films, tmp_path):
    """A Git remote with an old project below its top."""
    work = Repository(tmp_path / "theirs")
    work.commit(**{f"sub/{name}": text for name, text in OLD.items()})
    work("tag", "v1.0")
    work("rm", "-rq", "sub")
    work.commit(README="moved")
    return f"file://{tmp_path}/theirs#sub"


@slow
@elsewhere
def test_an_old_project_in_a_git_remote_runs_there_too(films, remote, on):
    words = ("finetune", "-e", "fine_tuning_model", "--uri", remote, "-v", "v1.0", "times=2")
    here, there = films.json(*words), films.json(*words, "--on", on)
    assert alike(here) == alike(there)
    assert films.run("logs", there["run_id"]).stdout.startswith("old ['--times', '2']")
    run = films.json("status", there["run_id"])
    assert (run["project"], run["dirty"]) == (remote, False)


@slow
def test_the_environment_is_the_projects_own(films, remote):
    words = ("finetune", "-e", "fine_tuning_model", "--uri", remote, "-v", "v1.0", "--env", "uv", "--on", "gpu")
    done = films.json(*words)
    assert "old ['--times', '1'] 0.4.6" in films.run("logs", done["run_id"]).stdout


@slow
@everywhere
def test_what_is_typed_next_ends_it(films, places, on):
    process = films.start("finetune", "do=wait", *places.words(on))
    places.pid_of("step.py")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "was ended by a signal" in err or "was cancelled" in err


@everywhere
def test_it_is_cancelled_from_another_shell(films, places, on):
    run_id = films.json("finetune", "do=wait", *places.words(on), "--detach")["run_id"]
    places.pid_of("step.py")
    assert films.json("cancel", run_id)["status"] == "KILLED"


@slow
def test_a_run_that_waits_for_a_node_is_told_and_cancelled(films):
    run_id = films.json("finetune", "--on", "none", "--detach")["run_id"]
    assert films.json("status", run_id)["status"] == "RUNNING"
    assert films.json("cancel", run_id)["status"] == "KILLED"


@slow
@everywhere
def test_closing_the_laptop_harms_nothing(films, places, on):
    process = films.start("finetune", "do=work", *places.words(on))
    places.pid_of("step.py")
    process.kill()
    process.wait()
    (run,) = films.json("status", "-n", "1")
    assert run["status"] == "RUNNING"
    log = films.run("logs", run["run_id"], "-f").stdout
    assert "second 24" in log
    assert log.endswith("done\n")
    assert films.json("status", run["run_id"])["status"] == "FINISHED"
    again = films.json("rerun", run["run_id"], "do=nothing", "--on", "local")
    assert (again["status"], again["target"]) == ("FINISHED", "local")


@everywhere
def test_a_worker_that_is_killed_is_seen(films, places, on):
    process = films.start("finetune", "do=wait", *places.words(on))
    places.pid_of("step.py")
    os.kill(places.pid_of("worker.pyz", "-m dlops.worker "), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    assert "was killed" in err


@slow
@everywhere
def test_a_tracking_server_that_is_away_costs_nothing(films, places, on):
    process = films.start("finetune", "do=work", *places.words(on), "--json")
    places.pid_of("step.py")
    time.sleep(3)
    places.server.stop()
    time.sleep(30)
    places.server.start()
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert '"FINISHED"' in out
    assert "second 24" in err


@elsewhere
@pytest.mark.parametrize(("typed", "exit_code"), [(b"n\n", 0), pytest.param(b"y\n", 130, marks=slow)])
def test_ctrl_c_at_a_terminal_asks_whether_it_ends(films, places, on, typed, exit_code):
    ours, theirs = os.openpty()

    def sits_at_it():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "dlops.cli.main", "finetune", "do=wait", "--on", on],
        cwd=films.folder,
        env=films.environ | {"TERM": "dumb"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        preexec_fn=sits_at_it,
    )
    os.close(theirs)
    films.started.append(process)
    places.pid_of("step.py")
    os.write(ours, b"\x03")
    shown = b""
    while b"End the run?" not in shown:
        shown += os.read(ours, 1000)
    os.write(ours, typed)
    assert process.wait(120) == exit_code
    (run,) = films.json("status", "-n", "1")
    assert run["status"] == ("RUNNING" if exit_code == 0 else "KILLED")
    if exit_code == 0:
        assert films.json("cancel", run["run_id"])["status"] == "KILLED"
    os.close(ours)


@pytest.fixture
def mlflow_of_databricks(tmp_path, initialised_store):
    """A workspace that keeps the runs too."""
    folder = tmp_path / "databricks"
    with (
        servers.tracking(folder / "server", initialised_store, databricks_workspace.ARTIFACTS) as server,
        databricks_workspace.running(folder / "workspace", server.uri) as workspace,
    ):
        yield workspace
        assert "RUNNING" not in server.statuses(), "a run was left open"


@pytest.mark.parametrize("on", [pytest.param("folder", marks=slow), "dbx", pytest.param("gpu", marks=slow)])
def test_databricks_keeps_the_runs(films, places, mlflow_of_databricks, on):
    workspace = mlflow_of_databricks
    targets = films.folder / "configs/targets.yaml"
    targets.write_text(targets.read_text().replace(places.workspace.host, workspace.host))
    films.environ |= {"DATABRICKS_HOST": workspace.host, "MLFLOW_TRACKING_URI": "databricks"}
    (films.folder / "data.csv").write_text("text,label,more")
    refused = films.json("finetune", *places.words(on), exit_code=2)["error"]
    assert "--experiment /Users/NAME/films" in refused["message"]
    done = films.json("finetune", *places.words(on), "--experiment", "/Shared/films")
    assert done["metrics"] == {"loss": 0.5}
    assert "reads text,label,more" in films.run("logs", done["run_id"]).stdout
    assert films.json("status", done["run_id"])["status"] == "FINISHED"
    kept = {
        file.name for file in workspace.folder.glob(f"WorkspaceInternal/Mlflow/Artifacts/*/Runs/{done['run_id']}/**/*")
    }
    assert {"config.yaml", "environment.lock", "source.diff"} <= kept
    assert processes.left(databricks_workspace.MARK, workspace.mark) == {}


@pytest.fixture
def easy(films, tmp_path):
    """A dataset that is learned in a moment, at the place where it is given."""
    texts, labels = simple_rows(120)
    lines = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    (tmp_path / "easy.csv").write_text("\n".join(["text,label", *lines]))
    films.run("ingest", f"source={tmp_path}/easy.csv", f"table={tmp_path}/easy", "--uri", ROOT, "splits=0.5,0.25,0.25")
    return tmp_path / "easy"


@pytest.fixture
def training(films, places, easy, tiny_model):  # noqa: F811
    """Launch the real `finetune` of this repository on a few rows, from a clone of it on the Git server."""
    remote = places.git.folder / "dlops.git"
    if not remote.exists():
        subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, remote], check=True)
    words = (f"dataset={easy}", f"model={tiny_model}", "devices=1", "accelerator=cpu", "epochs=1", "max_length=16")
    url = f"{places.git.url}/dlops.git"
    return lambda *more, **options: films.json("finetune", "--uri", url, *words, *more, seconds=900, **options)


@slow
@pytest.mark.timeout(1800)
def test_a_training_is_the_same_everywhere(training):
    here, *others = (training(*words) for words in [(), ("--env", "uv"), ("--on", "gpu"), ("--on", "dbx")])
    assert here["status"] == "FINISHED"
    for there in others:
        assert there["status"] == "FINISHED"
        assert there["outputs"].keys() == here["outputs"].keys()
        told = {name: value for name, value in here["metrics"].items() if not name.endswith("_seconds")}
        same = {name: value for name, value in told.items() if name.startswith(("train_", "val_", "test_"))}
        assert {name: there["metrics"][name] for name in same} == pytest.approx(same, abs=1e-4)


@slow
@pytest.mark.timeout(1800)
def test_a_training_over_two_nodes(films, training):
    alone, both = training("--on", "gpu"), training("nodes=2", "--on", "gpu")
    assert both["status"] == alone["status"] == "FINISHED"
    assert "Nodes: this one, and 1 more of the Ray cluster" in films.run("logs", both["run_id"]).stdout
    measured = [{name for name in run["metrics"] if not name.startswith("system/")} for run in (alone, both)]
    assert measured[0] == measured[1]
    assert both["metrics"]["train_loss"] == pytest.approx(alone["metrics"]["train_loss"], rel=0.2)
    few = training("nodes=9", "--on", "gpu", exit_code=4)
    assert "nodes=9, and the Ray cluster has 2" in few["error"]["message"]


@slow
def test_a_node_that_is_lost_is_seen(films, places):
    node = places.cluster.join('{"spot": 1}')
    process = films.start("finetune", "do=wait", "--on", "spot")
    places.pid_of("step.py", seconds=200)
    places.cluster.kill(node)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 4, err
    assert "The worker of finetune was killed" in err
    for folder in places.cluster.temporary.glob("dlops-*"):  # what a machine had goes with it
        shutil.rmtree(folder)
