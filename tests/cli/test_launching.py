"""What every launching command does: plan, refuse, tell."""

from __future__ import annotations

import json

import pytest


def test_a_dry_run_creates_nothing_and_shows_the_exact_command(shell, listing):
    before = listing()
    done = shell.run("finetune", "--epochs", "5", "note=it's [red]", "--dry-run")
    assert listing() == before
    assert done.stdout.startswith("finetune would run on local; nothing was created.")
    assert """echo epochs=5 note='it'"'"'s [red]' key=''""" in done.stdout
    assert done.stderr == ""


def test_three_spellings_plan_the_same(typed):
    spelt = (["epochs=5", "api_key=k"], ["--epochs", "5", "--api-key", "k"], ["--epochs=5", "--api_key=k"])
    plans = [json.loads(typed("finetune", *words, "--dry-run", "--json")[0])["plan"] for words in spelt]
    assert plans[0] == plans[1] == plans[2]
    assert plans[0]["params"]["epochs"] == "5"


def test_where_names_meet_the_option_wins_and_key_value_reaches_the_project(shell):
    (shell.folder / "more.yaml").write_text("epochs: 9\n")
    planned = shell.json("finetune", "--config", "more.yaml", "config=x", "--dry-run")["plan"]
    assert (planned["params"]["epochs"], planned["params"]["config"]) == ("9", "x")


def test_secrets_are_masked_in_the_plan(typed, monkeypatch):
    monkeypatch.setenv("HUB_TOKEN", "hf_0123456789")
    words = ("api_key=k-123456789", "note=hf_0123456789", "--tracking-uri", "http://me:store-pass@h", "--dry-run")
    for out, err in (typed("finetune", *words), typed("finetune", *words, "--json")):
        for secret in ("k-123456789", "hf_0123456789", "store-pass"):
            assert secret not in out + err
        assert "***" in out


def test_all_problems_at_once_with_the_nearest_name(shell, listing):
    (shell.folder / "c.yaml").write_text("\nstratgy: x\n")
    before = listing()
    done = shell.run("finetune", "epchs=2", "--shuffle", "maybe", "epochs=0", "-c", "c.yaml", exit_code=2)
    assert done.stdout == ""
    for piece in (
        "c.yaml:2: 'stratgy' is no parameter of this entry point; did you mean 'strategy'?",
        "command line: 'epchs' is no parameter of this entry point; did you mean 'epochs'?",
        "command line: 'shuffle' takes true or false, not 'maybe'",
        "command line: 'epochs' must be at least 1, not 0",
        "→ `dlops params finetune` lists them.",
    ):
        assert piece in done.stderr
    assert listing() == before


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--on", "locl"], "usage", "did you mean 'local'"),
        (["--on"], "usage", "'--on' requires an argument"),
        (["--env", "uvv"], "config", "did you mean 'uv'"),
        (["--env", "uv"], "config", "needs a conda.yaml or python_env.yaml"),
        (["--uri", "nosuch"], "usage", "There is no folder"),
        (["-e", "fintune"], "usage", "did you mean 'finetune'"),
        (["words"], "usage", "'words' is no parameter: write KEY=VALUE"),
        (["-c", "nosuch.yaml"], "config", "cannot be read"),
        (["--tracking-uri", "./mlruns"], "config", "sqlite:///mlruns.db"),
        (["--tracking-uri", "localhost:5000"], "config", "did you mean 'http://localhost:5000'"),
        (["note=caf\udce9"], "usage", "no UTF-8"),
    ],
)
def test_what_is_wrong_is_exit_2_one_document_and_nothing_made(typed, listing, words, kind, said):
    before = listing()
    document = json.loads(typed("finetune", "--json", *words, exit_code=2)[0])
    assert document["error"]["kind"] == kind
    assert said in document["error"]["message"]
    assert listing() == before


def test_a_launch_prints_one_document(recorded):
    """A real run: its parameters as they were given, its secret masked, its end told."""
    folder, document = recorded
    assert document["status"] == "FINISHED"
    assert document["params"]["note"] == "[red] ünï"
    assert document["params"]["api_key"] == "***"
    assert document["tracking_uri"] == f"sqlite:///{folder}/mlflow.db"
    assert set(document) == {
        *("run_id", "status", "step", "target", "entry_point", "params", "metrics", "outputs"),
        *("tracking_uri", "url", "duration_s"),
    }
