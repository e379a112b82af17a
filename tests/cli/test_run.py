"""`dlops run` on the command line; what it runs is tested in tests/project/pipeline."""

from __future__ import annotations

import json

import pytest

RUN = """
steps:
  ingest: {parameters: {source: sample}}
  finetune: {parameters: {note: "${ingest.dataset}"}}
  tiny: {entry_point: finetune, needs: finetune}
"""


@pytest.fixture
def pipeline(shell):
    (shell.folder / "configs").mkdir()
    (shell.folder / "configs/run.yaml").write_text(RUN)
    return shell


def test_a_dry_run_tells_each_step_and_creates_nothing(pipeline, typed, listing):
    before = listing()
    out, _ = typed("run", "--dry-run", "--json", "tiny.epochs=3")
    assert {place for place in listing() - before if "home" not in place} == set()
    document = json.loads(out)
    assert document["status"] == "PLANNED"
    assert [(step["name"], step["state"], step["needs"]) for step in document["steps"]] == [
        ("ingest", "will run", []),
        ("finetune", "will run", ["ingest"]),
        ("tiny", "will run", ["finetune"]),
    ]
    out, _ = typed("run", "--dry-run", "--only", "tiny")
    assert "left out" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["epochs=3"], "epochs=3 names no step: write STEP.epochs=3"),
        (["finetun.epochs=3"], "there is no step 'finetun'; did you mean 'finetune'?"),
        (["tiny.epochs=0"], "epochs"),
        (["--tiny.epoch", "2"], "'epoch' is no parameter of this entry point; did you mean 'epochs'?"),
        (["--from", "fin"], "--from fin: there is no such step"),
        (["--only", "tiny", "--to", "tiny"], "--from and --to say nothing beside it"),
        (["--on", "tiny=local", "--on", "tiny=gpu"], "--on says twice where tiny run: local and gpu."),
        (["--on", "local", "--on", "gpu"], "--on says twice where all steps run"),
        (["--on", "tiny=nowhere"], "nowhere"),
        (["-c", "none.yaml"], "There is no pipeline"),
    ],
)
def test_mistakes_are_told_before_anything_starts(pipeline, typed, words, told):
    _, err = typed("run", *words, exit_code=2)
    assert told in " ".join(err.split())
    assert not pipeline.database.exists()


def test_all_mistakes_of_the_file_are_told(pipeline, typed):
    (pipeline.folder / "configs/run.yaml").write_text(
        "steps:\n  a: {needs: b}\n  b: {needs: a, retry: 1}\n  c: {needs: c}\n"
    )
    _, err = typed("run", "--dry-run", exit_code=2)
    told = "".join(err.split())
    assert "configs/run.yaml:3:b:'retry'isunknown;didyoumean'retries'?" in told
    assert "configs/run.yaml:4:cneedsitself" in told
