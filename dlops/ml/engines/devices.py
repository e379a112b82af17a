"""How many processes answer on this machine: one for each processor, or for each GPU."""

from __future__ import annotations

import os

from dlops.config import processor
from dlops.ml.engines.pool import Plan
from dlops.ml.engines.store import Kept

WAITING = 32
"""Batches of each process that may wait, where nothing else is said."""
BURST = 4
"""Times as many that may after a pause of the machine."""


def plan(
    kept: Kept,
    *,
    workers: int = 0,
    batch: int = 0,
    wait: float = 0.0,
    bound: int = 1 << 30,
    seconds: float = 60.0,
    clean: bool = False,
    mixed: bool = True,
) -> Plan:
    """Say what suits this machine; 0 workers are one for each processor or GPU, 0 rows of a batch what is fast there.

    A bound of 0 is as many rows as are answered soon, and more for a moment.

    On processors, single-threaded processes side by side answer more than one process with many threads, and batches
    gain nothing; on a GPU they gain most.
    """
    gpus = _gpus() if kept.told.reader != "graph" or _has_cuda() else []
    workers = workers or len(gpus) or processor.count()
    batch = batch or (32 if gpus else 1)
    return Plan(
        workers=workers,
        threads=0 if gpus else 1,
        batch=batch,
        wait=wait,
        bound=bound or WAITING * batch * workers,
        burst=0 if bound else BURST * WAITING * batch * workers,
        crowd=0 if bound else WAITING * batch * workers // 2,
        seconds=seconds,
        clean=clean,
        mixed=mixed,
        variables=tuple({"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus) or ({},),
    )


def _gpus() -> list[str]:
    """Name the GPUs that a process here may use, as CUDA_VISIBLE_DEVICES does; asked without torch."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [one for one in told.split(",") if one.strip() not in ("", "-1")]
    import pynvml

    try:
        pynvml.nvmlInit()
        return [str(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def _has_cuda() -> bool:
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
