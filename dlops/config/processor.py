"""What this machine's processor can do, as far as the system tells without trying."""

from __future__ import annotations

from pathlib import Path

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the processor computes in bf16; one that cannot be asked is taken not to."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _BF16_FLAGS.isdisjoint(flags.split())
