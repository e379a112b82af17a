"""Each value, and the layer it comes from."""

from __future__ import annotations

import json


def test_every_layer_is_named(typed, shell, monkeypatch):
    (shell.folder / "configs").mkdir()
    own, extra = shell.folder / "configs/finetune.yaml", shell.folder / "extra.yaml"
    own.write_text("# comment\nepochs: 3\nstrategy: no_freeze\n")
    extra.write_text("strategy: freeze\n")
    monkeypatch.setenv("DLOPS_FINETUNE_SHUFFLE", "off")
    shown = json.loads(typed("config", "finetune", "-c", extra, "--note", "x", "api_key=k-123456789", "--json")[0])
    assert shown == {
        "epochs": {"value": "3", "layer": f"{own}:2"},
        "strategy": {"value": "freeze", "layer": f"{extra}:1"},
        "shuffle": {"value": "false", "layer": "environment DLOPS_FINETUNE_SHUFFLE"},
        "note": {"value": "x", "layer": "command line"},
        "api_key": {"value": "***", "layer": "command line"},
        "config": {"value": "", "layer": "MLproject"},
    }
    lines = typed("config", "finetune", "note=[red]x[/]")[0].splitlines()
    assert any(line.split() == ["epochs", "3", f"{own}:2"] for line in lines)
    assert any("[red]x[/]" in line for line in lines)


def test_off_a_terminal_a_long_value_stays_on_its_line(typed):
    value = "word " * 400
    assert value.strip() in typed("config", "finetune", f"note={value.strip()}")[0]


def test_it_has_no_options_of_a_launch(typed):
    shown = typed("config", "--help")[0]
    assert "--config" in shown
    for option in ("--run-name", "--dry-run", "--detach", "--quiet", "--on", "--env", "--experiment"):
        assert f" {option} " not in shown
    for option in ("--dry-run", "--detach", "--quiet"):
        assert f"no such option {option}" in typed("config", "finetune", option, exit_code=2)[1]


def test_what_cannot_be_settled_is_told(typed):
    assert "'source' needs a value: source=… (What is read)" in typed("config", "ingest", exit_code=2)[1]
