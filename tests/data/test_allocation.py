"""Memory that was freed is used again, where the C library can be told so."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from dlops.data import allocation

PROGRAM = """
import resource
import numpy as np
from dlops.data import allocation

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        [np.ones(1 << 20) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
before = faults()
allocation.keep_freed()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")
def test_arrays_take_the_place_of_those_before_them():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert after < before / 10


@pytest.mark.parametrize("error", [AttributeError, OSError])
def test_elsewhere_nothing_happens(monkeypatch, error):
    def without(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", without)
    allocation.keep_freed()
