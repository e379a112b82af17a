from __future__ import annotations

import json

from dlops.ml import progress
from dlops.ml.progress import Progress


def test_a_named_file_holds_the_latest_state(tmp_path, monkeypatch, capsys):
    file = tmp_path / "progress.json"
    monkeypatch.setenv(progress.VARIABLE, str(file))
    bar = Progress(10, "batches")
    bar.update(1, "epoch 1/2")
    assert json.loads(file.read_text()) == {"done": 1, "total": 10, "unit": "batches", "text": "epoch 1/2"}
    bar.update(2)
    assert json.loads(file.read_text())["done"] == 1, "a moment later nothing is written"
    bar.update(10)
    assert json.loads(file.read_text())["done"] == 10, "the end is always told"
    assert list(tmp_path.iterdir()) == [file], "nothing is left beside it"
    assert capsys.readouterr().out == ""


def test_without_a_file_there_is_a_plain_line_now_and_then(monkeypatch, capsys):
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Progress(10, "rows")
    bar.update(1, "reading")
    assert capsys.readouterr().out == ""
    now[0] += 11
    bar.update(2, "reading")
    bar.update(3, "reading")
    assert capsys.readouterr().out == "  reading, 2 of 10 rows\n"


def test_data_commands_no_terminal(capsys):
    progress.say("label pos\x1b[31m, naïve\n")
    assert capsys.readouterr().out == "label pos\\x1b[31m, naïve\\x0a\n"
