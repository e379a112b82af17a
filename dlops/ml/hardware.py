"""What the machine can do: its accelerator, and the arithmetic that is fast on it."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from dlops.config import processor
from dlops.errors import StepFailed

Part = TypeVar("Part")


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


@dataclass(frozen=True)
class Devices:
    """How many train together."""

    count: int = 1
    """On each node."""
    nodes: int = 1

    @property
    def total(self) -> int:
        """On all nodes."""
        return self.count * self.nodes


@contextmanager
def for_heads(arithmetic: Arithmetic) -> Iterator[Arithmetic]:
    """Give the arithmetic that suits heads on features, and one thread: more wait for each other most of the time.

    With bf16 nothing would be faster, and digits would be lost.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield replace(arithmetic, bf16=False)
    finally:
        torch.set_num_threads(threads)


def side_by_side(work: Callable[[Part], None], parts: Iterable[Part], arithmetic: Arithmetic) -> None:
    """Do some work on every part, without gradients; on a processor each thread has one at a time.

    Threads that share each operation wait for one another at its end; where each has operations of its own, none does.
    """
    threads = torch.get_num_threads() if arithmetic.accelerator == "cpu" else 1
    left, taking, ended = iter(parts), threading.Lock(), threading.Event()

    def taken() -> Iterator[Part]:
        while not ended.is_set():
            with taking:
                found = next(left, None)
            if found is None:
                return
            yield found

    def go_through() -> None:
        with torch.no_grad(), torch.autocast(arithmetic.accelerator, torch.bfloat16, enabled=arithmetic.bf16):
            for part in taken():
                work(part)

    def alone() -> None:
        torch.set_num_threads(1)
        try:
            go_through()
        finally:
            ended.set()

    if threads == 1:
        go_through()
        return
    try:
        with ThreadPoolExecutor(threads) as pool:
            try:
                for done in [pool.submit(alone) for _ in range(threads)]:
                    done.result()
            finally:
                ended.set()
    finally:
        torch.set_num_threads(threads)  # of threads to come, which have what any thread was told last


def arithmetic(precision: str, accelerator: str = "auto") -> Arithmetic:
    """Choose the accelerator and the precision; `auto` takes bf16 only where the hardware has it.

    Emulated bf16 is many times slower than float32, so a guess would be expensive.

    Raises:
        StepFailed: there is no such accelerator here.
    """
    there = [name for name, counted in _COUNTS.items() if counted()]
    chosen = _NAMES.get(accelerator, accelerator)
    if accelerator == "auto":
        chosen = there[0]
    elif chosen not in there:
        raise StepFailed(
            f"accelerator={accelerator}: there is none here.",
            hint=f"There is {', '.join(there)}; accelerator=auto takes {there[0]}.",
        )
    return Arithmetic(chosen, precision == "bf16" or (precision == "auto" and has_bf16(chosen)))


def devices(accelerator: str, count: int, nodes: int) -> Devices:
    """Choose how many devices of each node train; 0 is all, which of a processor is one.

    Raises:
        StepFailed: there are not so many.
    """
    there = _COUNTS[accelerator]()
    if accelerator != "cpu" and count > there:
        raise StepFailed(f"devices={count}: there are {there} here.", hint="devices=0 takes all of them.")
    return Devices(count or there, nodes)


_NAMES = {"gpu": "cuda"}
_COUNTS: dict[str, Callable[[], int]] = {
    "cuda": torch.cuda.device_count,
    "mps": lambda: int(torch.backends.mps.is_available()),
    "cpu": lambda: 1,
}
"""Torch's devices, the fastest first, and how many of each there are."""


def described() -> str:
    """Name what computes here: the GPUs there are, else the processor."""
    if torch.cuda.is_available():
        names = Counter(torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count()))
        return ", ".join(f"{count} x {name}" for name, count in names.items())
    return f"{processor.name()}, {os.cpu_count()} processors"


def has_bf16(accelerator: str) -> bool:
    """Tell whether the hardware computes in bf16; what cannot be asked is taken not to."""
    if accelerator == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return accelerator == "cpu" and processor.has_bf16()
