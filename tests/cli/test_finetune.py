"""`dlops finetune --help`: the command's own help, then the project's parameters."""

from __future__ import annotations


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
