"""The log of a run in pieces: in order, whole, as it was printed."""

from __future__ import annotations

from dlops.worker import pieces


def test_they_come_back_in_order_and_as_they_were(client):
    run_id = client.create_run("0").info.run_id
    assert pieces.written(client, run_id) == []
    texts = {number: f"{number} ü\r\n25%\r50%" for number in (1, 2, 10, 11)}
    for number, text in reversed(texts.items()):
        client.log_text(run_id, text, pieces.name(number))
    client.log_text(run_id, "another", "summary.md")
    found = [pieces.text(client, run_id, name) for name in pieces.written(client, run_id)]
    assert found == list(texts.values())
