"""Which values need at least the memory of others that there was too little for."""

from __future__ import annotations

import math
from collections.abc import Mapping

_MORE = frozenset({"batch_size", "micro_tokens", "max_length", "lora_rank", "unfreeze_layers"})
"""Parameters of which more needs more memory, and never less."""
_ALIKE = frozenset({"batch_tokens", "model", "strategy", "head", "precision", "accelerator", "objective"})
"""Parameters of which another value may need any memory: nothing follows from one for the other."""


def reaches(values: Mapping[str, str], too_large: Mapping[str, str]) -> bool:
    """Say whether a trial of these values needs the memory of one that there was too little for, or more.

    Of both, the same parameters count, or nothing is known.
    """
    decisive = {name for name in too_large if name in _MORE or name in _ALIKE}
    if not decisive or any(name not in values for name in decisive):
        return False
    return all(
        _size(name, values[name]) >= _size(name, too_large[name]) if name in _MORE else values[name] == too_large[name]
        for name in decisive
    )


def _size(name: str, text: str) -> float:
    """Give how much a parameter asks for: of micro_tokens, 0 asks for all at once."""
    return math.inf if name == "micro_tokens" and text == "0" else float(text)
