"""`dlops tune`: its parameters are those of finetune, and a space over them that is checked before a run exists."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]

MISTAKES = """\
space:
  learnig_rate: {loguniform: [1e-5, 1e-3]}
  epochs: {uniform: [1, 3]}
  strategy: {choice: [freeze, lora, freze]}
  batch_size: {choose: [8, 16]}
  weight_decay: {uniform: [0.5, 0.1]}
  lora_rank: {randint: [0, 8]}
trials: many
schedular: asha
"""


def test_help_lists_those_of_finetune_and_its_own(typed):
    shown = typed("tune", "--uri", ROOT, "--help")[0]
    assert "Search the parameters of finetune" in shown
    names = [line.split()[0] for line in shown.partition("Parameters of tune")[2].splitlines() if line.split()]
    assert {"learning_rate", "epochs", "space", "points", "search", "scheduler", "trials"} <= set(names)


def test_mistakes_in_a_space_are_reported_together_before_any_run_exists(shell, listing):
    (shell.folder / "mistakes.yaml").write_text(MISTAKES)
    before = listing()
    told = shell.run("tune", "-c", "mistakes.yaml", "--uri", ROOT, exit_code=2).stderr
    for problem in (
        "mistakes.yaml:1: space: 'learnig_rate' is no parameter; did you mean 'learning_rate'?",
        "mistakes.yaml:1: space: epochs: uniform draws fractions",
        "mistakes.yaml:1: space: strategy: 'freze' is not one of",
        "mistakes.yaml:1: space: batch_size: 'choose' is no distribution; did you mean 'choice'?",
        "mistakes.yaml:1: space: weight_decay: uniform takes the least first",
        "mistakes.yaml:1: space: lora_rank: must be at least 1, not 0",
        "mistakes.yaml:8: 'trials' takes a whole number, not 'many'",
        "mistakes.yaml:9: 'schedular' is no parameter of this entry point; did you mean 'scheduler'?",
    ):
        assert problem in " ".join(told.split()), told
    assert listing() == before


def test_a_space_of_a_file_of_the_environment_and_of_the_command_line_is_one(typed, tmp_path, monkeypatch):
    expected = {"batch_size": {"choice": ["8", "16"]}}
    (tmp_path / "mine.yaml").write_text("space:\n  batch_size: {choice: [8, 16]}\n")

    def planned(*words):
        return json.loads(typed("config", "tune", "dataset=s3://films/reviews", "--uri", ROOT, "--json", *words)[0])[
            "space"
        ]["value"]

    assert json.loads(planned("-c", tmp_path / "mine.yaml")) == expected
    assert json.loads(planned("space={batch_size: {choice: [8, 16]}}")) == expected
    monkeypatch.setenv("DLOPS_TUNE_SPACE", '{"batch_size": {"choice": ["8", "16"]}}')
    assert json.loads(planned()) == expected
