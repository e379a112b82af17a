"""What a job would find somewhere: told line by line, also where the store is none."""

from __future__ import annotations

import json

from dlops.worker import probe
from dlops.worker.job import Job


def job(tracking_uri):
    texts = ("step", "entry_point", "target", "command", "folder", "experiment")
    return Job(**dict.fromkeys(texts, ""), tracking_uri=tracking_uri, probe=True)


def test_its_answers_are_found_among_what_a_cluster_prints(client, store, capsys):
    probe.answer(job(store))
    printed = f"Runtime env is ready\n{capsys.readouterr().out}bye\n"
    found = {name: (state, text) for name, state, text in probe.answers(printed)}
    assert found["there: tracking store"] == ("ok", "answers")
    assert found["there: Python"][0] == "ok"
    assert "cores" in found["there: processor"][1]
    assert found["there: disk"][1].endswith("GiB free")


def test_a_store_that_cannot_be_reached_is_a_problem(tmp_path, capsys):
    (tmp_path / "file").touch()
    probe.answer(job(f"sqlite:///{tmp_path}/file/mlflow.db"))
    found = {name: (state, text) for name, state, text in probe.answers(capsys.readouterr().out)}
    state, text = found["there: tracking store"]
    assert state == "problem"
    assert text.startswith("a job could not record anything: ")


def test_what_is_no_answer_is_none():
    assert probe.answers("") == []
    line = probe.OPENING + json.dumps(["a", "ok", "b"])
    assert probe.answers(f"x\n{line}\n x {line}") == [("a", "ok", "b")]
