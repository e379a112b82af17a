from __future__ import annotations

import threading
import time

import pytest
import torch

from dlops.errors import StepFailed
from dlops.ml import hardware
from dlops.ml.hardware import Arithmetic, Devices


def test_what_cannot_be_asked_has_none():
    assert not hardware.has_bf16("mps")


def test_what_is_told_is_done():
    assert not hardware.arithmetic("32").bf16
    assert hardware.arithmetic("bf16").bf16
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert hardware.arithmetic("auto").accelerator == expected


def test_names_for_lightning_and_transformers():
    assert (Arithmetic("cpu", True).lightning, Arithmetic("cpu", False).lightning) == ("bf16-mixed", "32-true")
    assert [Arithmetic(*pair).attention for pair in (("cpu", True), ("cpu", False), ("cuda", True))] == [
        "eager",
        None,
        None,
    ]
    assert str(Arithmetic("cpu", False)) == "cpu, float32"


def there(monkeypatch, **counts):
    """Let the machine have so many of each device."""
    for name in ("cuda", "mps"):
        monkeypatch.setitem(hardware._COUNTS, name, lambda name=name: counts.get(name, 0))


@pytest.mark.parametrize(
    ("given", "name", "found"),
    [
        ({"cuda": 2}, "auto", "cuda"),
        ({"mps": 1}, "auto", "mps"),
        ({}, "auto", "cpu"),
        ({"cuda": 2, "mps": 1}, "gpu", "cuda"),
        ({"cuda": 2, "mps": 1}, "mps", "mps"),
        ({"cuda": 2}, "cpu", "cpu"),
    ],
)
def test_the_accelerator_is_the_one_named_or_the_fastest(monkeypatch, given, name, found):
    there(monkeypatch, **given)
    assert hardware.arithmetic("32", name).accelerator == found


@pytest.mark.parametrize("name", ["gpu", "mps"])
def test_an_accelerator_that_is_not_there_is_told(monkeypatch, name):
    there(monkeypatch)
    with pytest.raises(StepFailed, match=f"accelerator={name}: there is none here") as caught:
        hardware.arithmetic("32", name)
    assert caught.value.hint == "There is cpu; accelerator=auto takes cpu."


@pytest.mark.parametrize(
    ("accelerator", "count", "nodes", "total"),
    [("cuda", 0, 1, 4), ("cuda", 3, 1, 3), ("cuda", 0, 2, 8), ("cpu", 0, 1, 1), ("cpu", 3, 2, 6), ("mps", 0, 1, 1)],
)
def test_devices_are_all_unless_told(monkeypatch, accelerator, count, nodes, total):
    there(monkeypatch, cuda=4, mps=1)
    found = hardware.devices(accelerator, count, nodes)
    assert found == Devices(total // nodes, nodes)
    assert found.total == total


def test_more_devices_than_there_are_is_refused(monkeypatch):
    there(monkeypatch, cuda=4)
    with pytest.raises(StepFailed, match="devices=5: there are 4 here"):
        hardware.devices("cuda", 5, 1)


def test_heads_have_one_thread_and_all_their_digits():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with hardware.for_heads(Arithmetic("cpu", bf16=True)) as suited:
            assert torch.get_num_threads() == 1
            assert suited == Arithmetic("cpu", bf16=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert hardware.described()


@pytest.mark.parametrize("threads", [1, 3])
def test_every_part_is_done_once_each_thread_alone(threads):
    before = torch.get_num_threads()
    seen, lock = [], threading.Lock()

    def work(part):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        with lock:
            seen.append((part, torch.get_num_threads(), torch.is_grad_enabled(), product.dtype))

    torch.set_num_threads(threads)
    try:
        hardware.side_by_side(work, iter(range(50)), Arithmetic("cpu", bf16=True))
        assert torch.get_num_threads() == threads
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [threads]
    finally:
        torch.set_num_threads(before)
    assert sorted(part for part, *_ in seen) == list(range(50))
    assert {tuple(told) for _, *told in seen} == {(1, False, torch.bfloat16)}


def test_threads_are_side_by_side():
    before = torch.get_num_threads()
    meeting = threading.Barrier(2, timeout=30)
    torch.set_num_threads(2)
    try:
        hardware.side_by_side(lambda _: meeting.wait(), range(2), Arithmetic("cpu", bf16=False))
    finally:
        torch.set_num_threads(before)


def test_a_part_that_fails_ends_all():
    before = torch.get_num_threads()
    done = []

    def work(part):
        if part == 3:
            raise ValueError("part 3")
        time.sleep(0.01)
        done.append(part)

    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="part 3"):
            hardware.side_by_side(work, range(1000), Arithmetic("cpu", bf16=False))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(done) < 100
