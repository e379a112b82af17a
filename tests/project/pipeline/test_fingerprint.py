"""Each ingredient counts and is named; what does not matter does not count."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.errors import ConfigError
from dlops.project.pipeline import fingerprint
from dlops.project.pipeline.fingerprint import Ingredients, Input

BEFORE = Ingredients(
    entry_point="python -m pipelines.finetune {dataset}",
    files={"pipelines/finetune.py": "1" * 64, "configs/a.yaml": "2" * 64},
    parameters={"learning_rate": "2e-5", "epochs": "3"},
    inputs={"dataset": Input("/data/reviews@3", "d3"), "model": Input("minilm", "m1")},
    environment=("python==3.11", "torch==2.4.0"),
)
CHANGES = {
    "dataset v3 → v4": {"inputs": {**BEFORE.inputs, "dataset": Input("/data/reviews@4", "d4")}},
    "dataset /data/reviews@3 → /data/other@3": {"inputs": {**BEFORE.inputs, "dataset": Input("/data/other@3", "d4")}},
    "model minilm has another content": {"inputs": {**BEFORE.inputs, "model": Input("minilm", "m2")}},
    "model minilm → (none)": {"inputs": {"dataset": BEFORE.inputs["dataset"]}, "parameters": {**BEFORE.parameters}},
    "learning_rate 2e-5 → 3e-5": {"parameters": {**BEFORE.parameters, "learning_rate": "3e-5"}},
    "epochs 3 → (none)": {"parameters": {"learning_rate": "2e-5"}},
    "its command in MLproject changed": {"entry_point": "python -m pipelines.finetune2 {dataset}"},
    "`pipelines/finetune.py` changed": {"files": {**BEFORE.files, "pipelines/finetune.py": "3" * 64}},
    "`new.py` came": {"files": {**BEFORE.files, "new.py": "3" * 64}},
    "`configs/a.yaml` went": {"files": {"pipelines/finetune.py": "1" * 64}},
    "package torch 2.4.0 → 2.5.0": {"environment": ("python==3.11", "torch==2.5.0")},
    "package python 3.11 → (none)": {"environment": ("torch==2.4.0",)},
}


@pytest.mark.parametrize("told", CHANGES)
def test_each_ingredient_changed_alone_counts_and_is_named(told):
    now = dataclasses.replace(BEFORE, **CHANGES[told])
    assert now.digest != BEFORE.digest
    assert fingerprint.difference(BEFORE, now) == told


def test_names_of_inputs_and_orders_do_not_count():
    now = dataclasses.replace(
        BEFORE,
        inputs={"model": Input("/elsewhere/minilm", "m1"), "dataset": Input("other@9", "d3")},
        files=dict(reversed(BEFORE.files.items())),
        parameters=dict(reversed(BEFORE.parameters.items())),
        environment=BEFORE.environment[::-1],
    )
    assert now.digest == BEFORE.digest
    assert fingerprint.difference(BEFORE, now) == ""


def test_what_other_steps_give_is_left_out_of_the_steps_own_digest():
    now = dataclasses.replace(BEFORE, inputs={**BEFORE.inputs, "dataset": Input("/data/reviews@4", "d4")})
    assert now.without({"dataset"}) == BEFORE.without({"dataset"}) != BEFORE.digest
    assert fingerprint.difference(BEFORE, now, unknown={"dataset"}) == ""
    assert BEFORE.without({"epochs"}) != BEFORE.digest


def test_a_long_value_is_told_by_its_end():
    now = dataclasses.replace(BEFORE, parameters={**BEFORE.parameters, "epochs": "x" * 100 + "end"})
    told = fingerprint.difference(BEFORE, now)
    assert told.endswith("xend")
    assert len(told) < 90


TEXTS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


@given(TEXTS, TEXTS, st.dictionaries(st.text(max_size=5), st.builds(Input, st.text(), st.text()), max_size=3))
def test_it_is_kept_and_read_back(files, parameters, inputs):
    held = Ingredients(entry_point="x", files=files, parameters=parameters, inputs=inputs, environment=("a==1",))
    assert fingerprint.read(json.dumps(held.document())) == held


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"entry_point": "x", "files": 1}'])
def test_what_is_no_record_says_nothing(text):
    assert fingerprint.read(text) is None


FILES = {
    "steps.py": "1",
    "pipelines/finetune.py": "1",
    "deep/er/more.py": "1",
    "configs/models/tiny.yaml": "1",
    "conda.yaml": "1",
    "requirements-gpu.txt": "1",
}
NEUTRAL = (
    "README.md",
    "notes.txt",
    "tests/test_steps.py",
    "tests/data/helper.py",
    "deep/test_more.py",
    "more_test.py",
    "conftest.py",
    "configs/run.yaml",
    "configs/finetune.yaml",
    "configs/targets.yaml",
    ".hidden.py",
    ".github/workflows/build.py",
    "configs/.swp",
)


@pytest.fixture(params=["git", "no git"])
def folder(tmp_path, monkeypatch, request):
    """A project's folder with what counts and what does not, with and without Git."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    place = tmp_path / "films"
    for name in (*FILES, *NEUTRAL):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("1")
    if request.param == "git":
        subprocess.run(["git", "init", "-q"], cwd=place, check=True)
        subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    return place


def digests(folder, globs=None):
    return fingerprint.project_files(folder, globs, {"configs/finetune.yaml"})


def test_what_counts_by_default(folder):
    before = digests(folder)
    assert sorted(before) == sorted(FILES)
    for name in NEUTRAL:
        (folder / name).write_text("2")
    assert digests(folder) == before
    for name in FILES:
        (folder / name).write_text("2")
        assert digests(folder)[name] != before[name]
        (folder / name).unlink()
        assert name not in digests(folder)


def test_a_new_file_counts_before_git_knows_it(folder):
    (folder / "new ü.py").write_text("")
    assert "new ü.py" in digests(folder)


def test_an_environment_or_a_cache_inside_does_not_count(folder):
    for name in ("env/pyvenv.cfg", "env/lib/site.py", "__pycache__/steps.py", "mlruns/0/steps.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("1")
    (folder / ".gitignore").write_text("env\n__pycache__\nmlruns\n")
    assert sorted(digests(folder)) == sorted(FILES)


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        ([], []),
        (["*.py"], ["conftest.py", "more_test.py", "steps.py"]),
        (["deep/**"], ["deep/er/more.py", "deep/test_more.py"]),
        (["**/more.py", "READM?.md"], ["README.md", "deep/er/more.py"]),
        (["configs/*.yaml"], ["configs/finetune.yaml", "configs/run.yaml", "configs/targets.yaml"]),
        (["steps[.]py"], ["steps.py"]),
    ],
)
def test_globs_say_what_counts(folder, globs, found):
    assert [name for name in sorted(digests(folder, globs)) if not name.startswith(".")] == found


def test_what_is_named_counts_whatever_git_thinks_of_it(folder):
    (folder / ".gitignore").write_text("data/\n")
    (folder / "data").mkdir()
    (folder / "data/words.csv").write_text("a\n")
    before = digests(folder, ["data/*.csv"])
    assert list(before) == ["data/words.csv"]
    assert digests(folder, ["data/"]) == digests(folder, ["data"]) == before
    (folder / "data/words.csv").write_text("b\n")
    assert digests(folder, ["data"]) != before


def test_a_glob_that_names_nothing_is_told(folder):
    with pytest.raises(ConfigError, match="matches no file"):
        digests(folder, ["dta/*.csv"])


def test_two_folders_with_the_same_files_are_alike(folder, tmp_path):
    subprocess.run(["cp", "-r", folder, tmp_path / "copy"], check=True)
    assert digests(folder) == digests(tmp_path / "copy")
