"""bf16 is found in the hardware, not guessed."""

from __future__ import annotations

import os

import pytest

from dlops.config import processor


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_vnni", False),
        ("fpu avx512_bf16 sse", True),
        ("amx_tile amx_bf16", True),
        ("xavx512_bf16y", False),
    ],
)
def test_the_processor_is_asked_and_not_guessed(tmp_path, flags, expected):
    file = tmp_path / "cpuinfo"
    file.write_text(f"model name\t: Some\nflags\t\t: {flags}\n")
    assert processor.has_bf16(file) is expected


def test_what_cannot_be_asked_has_none(tmp_path):
    assert not processor.has_bf16(tmp_path / "none")


def test_the_processors_name(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: another\n")
    assert processor.name(told) == "Some CPU @ 2 GHz"
    told.write_text("flags: sse\n")
    assert processor.name(told) == processor.name(tmp_path / "none") != ""


def test_processors_are_counted_as_far_as_this_process_may_use_them():
    assert 1 <= processor.count() <= (os.cpu_count() or 1)
