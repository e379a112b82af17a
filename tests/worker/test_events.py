"""One line an event, whole, in order, and never in the way of the work."""

from __future__ import annotations

import json
import os
import tempfile
import threading

import pytest

from dlops.worker.events import Events


def test_one_line_of_json_each():
    with tempfile.TemporaryFile() as file:
        events = Events(file.fileno())
        events.emit("output", text="a\nb\r\u2028ünï🙂")
        events.emit("ended", status="FINISHED", metrics={"x": 1.0})
        lines = os.pread(file.fileno(), 1 << 20, 0).split(b"\n")
    assert [json.loads(line)["event"] for line in lines[:-1]] == ["output", "ended"]
    assert json.loads(lines[0])["text"] == "a\nb\r\u2028ünï🙂"
    assert lines[-1] == b""


def test_threads_do_not_mix_their_lines():
    with tempfile.TemporaryFile() as file:
        events = Events(file.fileno())
        threads = [
            threading.Thread(target=lambda n=n: [events.emit("output", text=str(n) * 2000) for _ in range(50)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = os.pread(file.fileno(), 1 << 22, 0).splitlines()
    assert len(lines) == 200
    assert all(len(set(json.loads(line)["text"])) == 1 for line in lines)


@pytest.mark.parametrize("gone", ["reader", "descriptor"])
def test_a_reader_that_is_gone_does_not_end_the_work(gone):
    reader, writer = os.pipe()
    os.close(reader)
    if gone == "descriptor":
        os.close(writer)
    Events(writer).emit("output", text="to nobody")
    if gone == "reader":
        os.close(writer)
