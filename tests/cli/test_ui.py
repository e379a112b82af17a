"""`dlops ui`: only where something is recorded, and never twice on one port."""

from __future__ import annotations

import signal
import socket

import pytest

from dlops.cli import ui
from dlops.errors import UsageError


def test_without_a_store_it_says_so_and_makes_none(shell, listing):
    before = listing()
    done = shell.run("ui", exit_code=2)
    assert "Nothing is recorded in" in done.stderr
    assert "Go where you launched from" in done.stderr
    assert "knows no tracking store 'foo'" in shell.run("ui", "--tracking-uri", "foo://", exit_code=2).stderr
    assert listing() == before


def test_a_server_has_pages_of_its_own(shell):
    done = shell.run("ui", "--tracking-uri", "http://me:secret-word@host:5000/[x]")
    assert "http://***@host:5000/[x]" in done.stdout


def test_a_port_that_is_taken_is_seen():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ui._is_free("127.0.0.1", port)
        assert ui._free_port("127.0.0.1") != port


def test_an_address_of_another_machine_is_told():
    with pytest.raises(UsageError, match=r"192\.0\.2\.1 is no address of this machine"):
        ui._free_port("192.0.2.1")


def test_a_server_that_ends_is_told(typed, initialised_store, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(ui, "_SERVER", ("-c", "import sys; sys.exit('no room')"))
    try:
        err = typed("ui", "--port", "0", "--tracking-uri", f"sqlite:///{initialised_store}", exit_code=5)[1]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "MLflow's server has ended" in err
    assert "Ctrl-C" not in err
