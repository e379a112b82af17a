"""What the machine can do: its accelerator, and the arithmetic that is fast on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dlops.config import processor


@dataclass(frozen=True)
class Arithmetic:
    """How a model is trained here."""

    accelerator: str
    """`cpu`, `cuda` or `mps`: a torch device, and one of Lightning's accelerators."""
    bf16: bool

    @property
    def lightning(self) -> str:
        """Lightning's name of the precision."""
        return "bf16-mixed" if self.bf16 else "32-true"

    @property
    def attention(self) -> str | None:
        """The attention to ask transformers for; `None` leaves it to the model.

        On processors with bf16, fused attention takes a third of the forward pass at a few hundred tokens, so that
        the plain one is faster; elsewhere it is the other way round.
        """
        return "eager" if self.bf16 and self.accelerator == "cpu" else None

    def __str__(self) -> str:
        return f"{self.accelerator}, {'bf16' if self.bf16 else 'float32'}"


def arithmetic(precision: str) -> Arithmetic:
    """Choose the accelerator and the precision; `auto` takes bf16 only where the hardware has it.

    Emulated bf16 is many times slower than float32, so a guess would be expensive.
    """
    accelerator = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return Arithmetic(accelerator, precision == "bf16" or (precision == "auto" and has_bf16(accelerator)))


def has_bf16(accelerator: str) -> bool:
    """Tell whether the hardware computes in bf16; what cannot be asked is taken not to."""
    if accelerator == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return accelerator == "cpu" and processor.has_bf16()
