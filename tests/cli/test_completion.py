"""What Tab offers, asked the way bash asks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlops.cli.main import COMMANDS, app


@pytest.fixture
def tab(shell, monkeypatch):
    """Press Tab at the end of a line; bash has `=` as a word of its own."""
    monkeypatch.chdir(shell.folder)

    def of(line, *, split=True):
        words = (line.replace("=", " = ") if split else line).split(" ")
        words = [word for word in words[:-1] if word] + [words[-1]]
        environ = {"_DLOPS_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        done = CliRunner().invoke(app, [], prog_name="dlops", env=environ)
        assert done.stderr == ""
        return done.stdout.split()

    return of


def test_commands(tab):
    assert tab("dlops ") == [name for group in COMMANDS.values() for name in group]
    assert tab("dlops ve") == ["version"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("dlops finetune ", ["epochs=", "strategy=", "shuffle=", "note=", "api_key=", "config="]),
        ("dlops finetune epochs=3 s", ["strategy=", "shuffle="]),
        ("dlops finetune strategy=", ["freeze", "no_freeze"]),
        ("dlops finetune strategy=n", ["no_freeze"]),
        ("dlops finetune --strategy n", ["no_freeze"]),
        ("dlops finetune --strategy=f", ["freeze"]),
        ("dlops finetune shuffle=", ["true", "false"]),
        ("dlops finetune epochs=", []),
        ("dlops finetune nosuch=", []),
        ("dlops finetune --on ", ["local"]),
        ("dlops finetune --env u", ["uv"]),
        ("dlops finetune --entry-point in", ["ingest"]),
        ("dlops finetune -e ingest so", ["source="]),
        ("dlops config fi", ["finetune"]),
        ("dlops config finetune ep", ["epochs="]),
        ("dlops params ", ["ingest", "finetune", "tune", "evaluate", "explain", "register", "serve", "predict"]),
        ("dlops finetune --str", ["--strategy"]),
        ("dlops finetune --api-", ["--api-key"]),
        ("dlops finetune --api_", ["--api_key"]),
        ("dlops finetune --conf", ["--config"]),
        ("dlops config finetune --ep", ["--epochs"]),
    ],
)
def test_offered(tab, line, offered):
    assert tab(line) == offered


def test_a_shell_that_keeps_the_word_whole_gets_it_whole(tab):
    assert tab("dlops finetune strategy=n", split=False) == ["strategy=no_freeze"]


def test_options(tab):
    assert {"--dry-run", "--detach"} <= set(tab("dlops finetune --d"))


@pytest.mark.parametrize("command", ["status", "logs", "logs -f", "cancel"])
def test_runs(tab, shell, recorded, monkeypatch, command):
    folder, document = recorded
    run_id = document["run_id"]
    assert tab(f"dlops {command} ") == []
    assert tab(f"dlops {command} --tracking-uri sqlite:///{folder}/mlflow.db {run_id[:3]}") == [run_id]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    assert tab(f"dlops {command} ") == [run_id]
    assert tab(f"dlops {command} x") == []


@pytest.mark.parametrize("text", ["entry_points: [", "", None])
def test_without_a_sound_project_nothing_is_offered_and_nothing_said(tab, shell, text):
    (shell.folder / "MLproject").unlink()
    if text is not None:
        (shell.folder / "MLproject").write_text(text)
    assert tab("dlops finetune ep") == []
    assert tab("dlops finetune --entry-point f") == []


@pytest.mark.skipif(not (Path(sys.executable).parent / "dlops").exists(), reason="the command is not installed here")
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_itself_completes(shell):
    """The script that `--install-completion` installs, in a real bash."""
    environ = {**shell.environ, "_DLOPS_COMPLETE": "source_bash"}
    program = ["dlops"]
    script = subprocess.run(program, env=environ, capture_output=True, text=True, cwd=shell.folder, check=True).stdout
    asks = 'COMP_WORDS=(dlops finetune strategy = n); COMP_CWORD=4; _dlops_completion dlops; echo "${COMPREPLY[*]}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{asks}"], env=shell.environ, cwd=shell.folder, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("no_freeze\n", "")
