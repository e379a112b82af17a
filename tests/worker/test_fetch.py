"""Files by their URI: of the web, and of a run."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from dlops.worker.fetch import fetch
from tests.data import loopback


def test_a_file_of_the_web(tmp_path):
    with loopback.running() as server:
        server.answers = [loopback.file(b"text,label\n" * 200_000)]
        place = Path(fetch(server.uri("/some%20data.csv?x=1"), tmp_path, ""))
    assert place == tmp_path / "some data.csv"
    assert place.read_bytes() == b"text,label\n" * 200_000


def test_credentials_go_in_a_header_and_odd_letters_as_they_must(tmp_path):
    with loopback.running() as server:
        server.answers = [loopback.file(b"x")]
        fetch(server.uri("/a b ü.csv", user="ann:s3cr%40t@"), tmp_path, "")
        server.answers = [loopback.file(b"x" * 9, stop=5)]
        with pytest.raises(OSError, match="broke off") as caught:
            fetch(server.uri(user="ann:s3cr%40t@"), tmp_path, "")
    assert server.requests[0]["Authorization"] == f"Basic {base64.b64encode(b'ann:s3cr@t').decode()}"
    assert (tmp_path / "a b ü.csv").exists()
    assert "s3cr" not in str(caught.value)


def test_an_artifact_of_a_server_is_left_to_mlflow(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", lambda uri, **more: asked.append(uri) or "there")
    uri = "http://h/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/model"
    assert fetch(uri, tmp_path, "") == "there"
    assert asked == [uri]


def test_one_that_breaks_off_or_is_not_there_is_told(tmp_path):
    with loopback.running() as server:
        server.answers = [loopback.file(b"x" * 100, stop=50)]
        with pytest.raises(OSError, match="broke off after 50 of 100 bytes"):
            fetch(server.uri(), tmp_path, "")
        server.answers = [loopback.code(404)]
        with pytest.raises(OSError, match="404"):
            fetch(server.uri(), tmp_path, "")


def test_an_artifact_of_a_run(client, store, tmp_path):
    run = client.create_run("0")
    client.log_text(run.info.run_id, "kept", "folder/word.txt")
    (tmp_path / "to").mkdir()
    place = Path(fetch(f"runs:/{run.info.run_id}/folder", tmp_path / "to", store))
    assert (place / "word.txt").read_text() == "kept"
