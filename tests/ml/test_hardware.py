from __future__ import annotations

import torch

from dlops.ml import hardware
from dlops.ml.hardware import Arithmetic


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
