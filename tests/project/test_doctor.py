"""Each thing looked at, told apart, with nothing made."""

from __future__ import annotations

import pytest

from dlops.project.doctor import examine
from dlops.targets.local import Local


def findings(uri, tracking_uri):
    return {finding.name: finding for finding in examine(str(uri), tracking_uri, Local())}


def test_a_sound_project_and_a_store_that_is_not_there_yet(small, contents, tmp_path):
    before = contents()
    found = findings(small, f"sqlite:///{tmp_path}/mlflow.db")
    assert found["project"].text == "small: finetune"
    assert "made by the first launch" in found["tracking store"].text
    assert {found[name].state for name in ("Python", "mlflow", "torch", "project", "tracking store")} == {"ok"}
    assert "cores" in found["processor"].text
    assert contents() == before


def test_all_that_is_wrong_is_found_in_one_go(tmp_path):
    found = findings(tmp_path, "./mlruns")
    assert "has no MLproject" in found["project"].text
    assert "folder of files" in found["tracking store"].text
    assert [name for name, finding in found.items() if finding.state == "problem"] == ["project", "tracking store"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("conda.yaml", "dependencies: [numpy]\n", "not the conda packages numpy"),
        ("configs/finetune.yaml", "epoch: 3\n", "did you mean 'epochs'"),
        ("configs/dlops.yaml", "experimnt: 3\n", "did you mean 'experiment'"),
    ],
)
def test_what_is_wrong_in_a_projects_files(small, tmp_path, file, text, said):
    (small / "configs").mkdir()
    (small / file).write_text(text)
    assert said in findings(small, f"sqlite:///{tmp_path}/mlflow.db")["project"].text


def test_a_tool_that_is_missing_is_a_note(small, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    assert findings(small, f"sqlite:///{tmp_path}/mlflow.db")["git"].state == "note"


def test_the_project_is_looked_for_here_wherever_the_store_lies(small, store, client, monkeypatch):
    monkeypatch.chdir(small)
    found = findings(".", store)
    assert found["project"].text == "small: finetune"
    assert "answers; 0 runs" in found["tracking store"].text
    client.set_terminated(client.create_run("0", tags={"dlops.step": "finetune"}).info.run_id)
    assert findings(".", store)["tracking store"].text.endswith("answers; 1 run of dlops in it")
