from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dlops.ml import memory


def tensor():
    torch.empty(2**50, dtype=torch.uint8)


def array():
    np.empty(2**55, dtype=np.uint8)


def block():
    bytearray(2**60)


@pytest.mark.parametrize("take", [tensor, array, block])
def test_what_torch_numpy_and_python_raise_is_recognised(take):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        take()
    assert memory.is_exhausted(caught.value)


def test_so_is_what_a_device_raises():
    assert memory.is_exhausted(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."))
    assert memory.is_exhausted(RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"))
    assert memory.is_exhausted(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"))


def test_other_failures_are_not():
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not memory.is_exhausted(caught.value)
    assert not memory.is_exhausted(ValueError("out of memory"))


def test_the_advice_names_what_needs_more():
    found = memory.exhausted("A training step", MemoryError())
    assert str(found) == "A training step needs more memory than there is (MemoryError)."
    assert "micro_tokens" in found.hint


def test_what_writes_code_is_done_without_once_it_found_no_memory():
    try:
        assert not memory.do_without_code(RuntimeError("[enforce fail] can't allocate memory"))
        assert torch.backends.mkldnn.enabled
        assert memory.do_without_code(RuntimeError("could not create a primitive"))
        assert not torch.backends.mkldnn.enabled
        torch.nn.functional.gelu(torch.ones(1, 1009, 64))
    finally:
        torch.backends.mkldnn.enabled = True


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell it in other ways")
def test_what_was_freed_is_given_back_to_the_system():
    """Chunks that are too small to have been mapped on their own."""
    held = [bytearray(100_000) for _ in range(2000)]
    full = used()
    del held
    memory.give_back()
    assert used() < full - 100e6


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell it in other ways")
def test_what_is_freed_can_be_kept_for_what_comes_next():
    told = subprocess.run([sys.executable, "-c", KEEPING], capture_output=True, text=True, check=True).stdout
    here, kept_here, there, kept_there = map(int, told.split())
    assert kept_here < here / 10
    assert kept_there < there / 4


KEEPING = """
import resource
import threading
from dlops.ml import memory

def here():
    for _ in range(20):
        bytearray(100_000_000)

def there():
    def take():
        for _ in range(20):
            held = [bytearray(10_000_000) for _ in range(10)]
    thread = threading.Thread(target=take)
    thread.start()
    thread.join()

def faults(take):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    take()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = [faults(here), faults(there)]
memory.keep()
here()
there()
print(without[0], faults(here), without[1], faults(there))
"""


def used():
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
