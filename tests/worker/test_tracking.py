"""A tracking client that opens, waits and refuses as it should."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.worker import tracking


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////tmp/x/mlflow.db", "/tmp/x/mlflow.db"),
        ("sqlite:////tmp/x.db?timeout=5", "/tmp/x.db"),
        ("sqlite:////tmp/a b/ü.db", "/tmp/a b/ü.db"),
        ("http://host:5000", None),
        ("postgresql://h/d", None),
        ("sqlite://", None),
    ],
)
def test_the_file_of_a_store(uri, file):
    assert tracking.sqlite_file(uri) == (Path(file) if file else None)


def test_a_relative_file_lies_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tracking.sqlite_file("sqlite:///mlflow.db") == tmp_path / "mlflow.db"


@given(st.integers(0, 5))
def test_patience_ends_with_the_answer(failures):
    left = [failures]

    def call():
        left[0] -= 1
        if left[0] >= 0:
            raise OSError("away")
        return "answer"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: None)
        assert tracking.patiently(call, seconds=60) == "answer"


def test_patience_has_an_end_and_tells_the_first_line():
    def call():
        raise OSError("https://me:secret-word@h is away\nand more")

    with pytest.raises(tracking.Unreachable) as caught:
        tracking.patiently(call, seconds=0.1)
    assert str(caught.value) == "https://***@h is away"


@pytest.mark.parametrize("code", ["INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"])
def test_what_no_repeat_can_mend_is_not_repeated(code):
    calls = []

    class Refused(Exception):
        error_code = code

    def call():
        calls.append(1)
        raise Refused("no")

    with pytest.raises(tracking.Unreachable):
        tracking.patiently(call, seconds=60)
    assert len(calls) == 1


def test_an_experiment_is_made_once_and_a_deleted_one_is_told(client):
    made = tracking.experiment(client, "reviews [red]")
    assert tracking.experiment(client, "reviews [red]") == made
    client.delete_experiment(made)
    with pytest.raises(tracking.Unreachable, match="was deleted"):
        tracking.experiment(client, "reviews [red]")


def test_artifacts_lie_beside_the_database(client, store):
    location = client.get_experiment(tracking.experiment(client, "e")).artifact_location
    assert Path(location.removeprefix("file://")).is_relative_to(Path(store.removeprefix("sqlite:///")).parent)


def test_what_is_no_store_is_unreachable(client, tmp_path):
    with pytest.raises(tracking.Unreachable, match="cannot be opened"):
        tracking.connect("nonsense://x:secret-word@host", str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(tracking.Unreachable):
        tracking.connect(f"sqlite:///{tmp_path}/file/mlflow.db", str(tmp_path))


def test_it_is_opened_without_moving_even_where_many_open_it_and_the_folder_is_gone(tmp_path, monkeypatch, store):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: tracking.connect(store, str(tmp_path)), range(40)))
    assert Path.cwd() == here
    here.rmdir()
    tracking.connect(store, str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Path.cwd()
