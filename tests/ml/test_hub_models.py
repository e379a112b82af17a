"""A hub on the loopback; the library reads where the hub and its cache are as it is imported, so in processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import hub_server

ROOT = Path(__file__).parents[2]
READS = """
import json, sys
from dlops.errors import StepFailed
from dlops.ml import hub_models
pickles = sys.argv[1] == "pickles"
for word in sys.argv[2:]:
    name, _, revision = word.partition("@")
    try:
        commit = hub_models.resolve(name, revision or None)
        folder = hub_models.fetch(name, commit, code=pickles, pickles=pickles)
        print(json.dumps([commit, {file.name: file.read_text() for file in sorted(folder.iterdir())}]))
    except StepFailed as error:
        print(json.dumps([str(error), error.hint]))
"""
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "vocab.txt": b"a",
    "model.safetensors": b"first",
    "model.fp16.safetensors": b"half",
    "pytorch_model.bin": b"pickled",
    "modeling.py": b"code",
    "onnx/model.json": b"other",
    "README.md": b"words",
}
READ = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]


@pytest.fixture
def hub():
    """A hub with a model of two commits: tagged v1, and then main's."""
    with hub_server.running() as server:
        server.models["ann/tiny"] = hub_server.Repository()
        server.models["ann/tiny"].commit(FILES, "v1")
        server.models["ann/tiny"].commit(FILES | {"model.safetensors": b"second"})
        yield server


@pytest.fixture
def read(hub, tmp_path):
    """Read models in a process of its own, with a cache that is this test's."""

    def run(*names, pickles=False, **more):
        environ = {**os.environ, "HF_ENDPOINT": hub.uri, "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", READS, "pickles" if pickles else "safe", *names]
        done = subprocess.run(command, env=environ | more, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_all_files_are_of_the_commit_that_a_name_stands_for(hub, read):
    first, second = hub.models["ann/tiny"].commits
    main, tag, exact = read("ann/tiny", "ann/tiny@v1", f"ann/tiny@{first}")
    assert [main[0], tag[0], exact[0]] == [second, first, first]
    assert [main[1]["model.safetensors"], tag[1]["model.safetensors"]] == ["second", "first"]
    assert list(main[1]) == READ, "no weights twice, no pickles, no code, nothing for other programs"
    assert {path.split("/")[4] for path in hub.requests if "/resolve/" in path} == {first, second}


def test_a_branch_that_moves_is_another_commit(hub, read):
    before = read("ann/tiny")[0][0]
    third = hub.models["ann/tiny"].commit(FILES | {"model.safetensors": b"third"})
    commit, files = read("ann/tiny")[0]
    assert (commit, files["model.safetensors"]) == (third, "third")
    assert before != third


def test_pickles_and_code_are_brought_where_they_are_allowed(hub, read):
    bare = {name: content for name, content in FILES.items() if not name.endswith("safetensors")}
    commit = hub.models["ann/tiny"].commit(bare)
    (refused,) = read("ann/tiny")
    assert list(refused[1]) == ["config.json", "tokenizer.json", "vocab.txt"]
    (allowed,) = read("ann/tiny", pickles=True)
    assert allowed[0] == commit
    assert {"modeling.py", "pytorch_model.bin"} <= set(allowed[1])
    (preferred,) = read("ann/tiny@v1", pickles=True)
    assert "pytorch_model.bin" not in preferred[1], "safetensors are there"


def test_what_is_not_to_be_had_is_told_with_what_to_do(hub, read):
    hub.models["ann/closed"] = hub_server.Repository(gated=True)
    hub.models["ann/closed"].commit(FILES)
    none, unknown, closed, spelling = read("ann/none", "ann/tiny@v9", "ann/closed", "no name")
    assert none[0] == (
        "The model ann/none cannot be read from the hub: there is none of that name, or it is private and "
        "HF_TOKEN is not set."
    )
    assert "it has no revision v9" in unknown[0]
    assert "its owner has to let you in" in closed[0]
    assert "HF_TOKEN" in closed[1]
    assert "no name of a model" in spelling[0]


@pytest.mark.parametrize("offline", ["0", "1"])
def test_what_was_read_before_is_read_without_the_hub(hub, read, offline):
    second = list(hub.models["ann/tiny"].commits)[1]
    assert read("ann/tiny", f"ann/tiny@{second}")[0][0] == second
    hub.requests.clear()
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": offline}
    main, exact, other = read("ann/tiny", f"ann/tiny@{second}", "ann/tiny@v1", **gone)
    assert main == exact
    assert (main[0], list(main[1])) == (second, READ)
    assert "the hub does not answer" in other[0]
    assert "HF_HUB_OFFLINE" in other[1]
    assert not hub.requests


@pytest.mark.slow
def test_a_download_that_is_broken_off_is_told_and_goes_on(hub, read):
    repository = hub.models["ann/tiny"]
    repository.stops["model.safetensors"] = 2
    (broken,) = read("ann/tiny")
    assert broken[0].startswith("The model ann/tiny cannot be read from the hub: ")
    assert "run it again" in broken[1]
    (without,) = read("ann/tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert "not all of the model was kept" in without[0], "half a model is none"
    repository.stops.clear()
    (whole,) = read("ann/tiny")
    assert whole[1]["model.safetensors"] == "second"


def test_a_hub_that_fails_is_told(hub, read):
    hub.broken = "/"
    assert "the hub does not answer" in read("ann/tiny")[0][0]
