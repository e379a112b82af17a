"""`dlops finetune --help`: the command's own help, then the project's parameters."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_help_lists_the_projects_parameters(typed):
    shown = typed("finetune", "--help")[0]
    assert "Fine-tune a pretrained model" in shown
    rows = [line.split() for line in shown.partition("Parameters of finetune")[2].splitlines()]
    assert ["epochs", "int", "≥", "1", "2", "Passes", "over", "the", "rows."] in rows
    assert ["strategy", "freeze", "|", "no_freeze", "freeze"] in rows


def test_help_follows_uri_and_entry_point(typed, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "MLproject").write_text("entry_points: {train: {command: x, parameters: {'[red]': int}}}")
    for words in (("--uri", other, "-e", "train"), (f"--uri={other}", "--entry-point=train")):
        shown = typed("finetune", *words, "--help")[0]
        assert "[red]" in shown
        assert "required" in shown


def test_help_without_a_project_says_how_to_see_them(typed, shell):
    (shell.folder / "MLproject").unlink()
    assert "Its parameters are the project's own" in typed("finetune", "--help")[0]


def test_ten_mistakes_are_reported_together_before_any_run_exists(shell, listing):
    (shell.folder / "mistakes.yaml").write_text(
        """\
learnig_rate: 1e-4
epochs: zero
strategy: freze
head: 3
batch_size: 0
warm_up: 1.5
unfreeze: [1, x]
dataset: nothere/table
model: ./nothere
seeds: -2
trust_remote_code: perhaps
"""
    )
    before = listing()
    told = shell.run("finetune", "-c", "mistakes.yaml", "--uri", ROOT, exit_code=2).stderr
    for name, line in (
        *(("learnig_rate", 1), ("epochs", 2), ("strategy", 3), ("head", 4), ("batch_size", 5), ("warm_up", 6)),
        *(("unfreeze", 7), ("dataset", 8), ("model", 9), ("seeds", 10), ("trust_remote_code", 11)),
    ):
        assert f"mistakes.yaml:{line}: '{name}'" in told, told
    assert "did you mean 'learning_rate'" in told
    assert listing() == before
