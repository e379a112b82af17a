"""`dlops params STEP`: the contract, read aloud."""

from __future__ import annotations

import json


def test_as_a_table_and_as_a_document(typed):
    shown = typed("params", "finetune")[0]
    assert "Parameters of finetune" in shown
    assert "freeze | no_freeze" in shown
    listed = json.loads(typed("params", "finetune", "--json")[0])
    assert [parameter["name"] for parameter in listed][:2] == ["epochs", "strategy"]
    assert listed[0]["default"] == "2"
    assert listed[1]["choices"] == ["freeze", "no_freeze"]


def test_a_secret_default_is_shown_nowhere(typed, shell):
    (shell.folder / "MLproject").write_text(
        "entry_points: {finetune: {command: x, parameters: {api_key: {default: k-123456789}}}}"
    )
    for words in (("params", "finetune"), ("params", "finetune", "--json"), ("finetune", "--help")):
        shown = typed(*words)[0]
        assert "***" in shown
        assert "k-123456789" not in shown


def test_an_unknown_step_is_told_with_the_nearest(typed):
    document = json.loads(typed("params", "fine-tune", "--json", exit_code=2)[0])
    assert "did you mean 'finetune'" in document["error"]["message"]
    assert "It has: finetune, ingest" in document["error"]["hint"]
