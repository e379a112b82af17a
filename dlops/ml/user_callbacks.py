"""Lightning callbacks of the user's own, by import path."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import pytorch_lightning as pl

from dlops.errors import StepFailed


def load(names: Iterable[str]) -> list[pl.Callback]:
    """Make the callbacks that MODULE:NAME names, each a class or function that is called without arguments.

    Raises:
        StepFailed: there is no such module or name, or what it makes is no callback.
    """
    return [_made(name) for name in names]


def _made(name: str) -> pl.Callback:
    module, _, attribute = name.partition(":")
    if not module or module.startswith(".") or not attribute:
        raise StepFailed(
            f"callbacks={name}: it names no callback.", hint="Write MODULE:NAME, such as mine.tools:Watch."
        )
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        hint = "Modules are looked for in the project's folder and in the environment."
        raise StepFailed(f"callbacks={name}: there is no module {error.name}.", hint=hint) from error
    found = getattr(imported, attribute, None)
    if found is None:
        classes = [known for known, value in vars(imported).items() if isinstance(value, type)]
        raise StepFailed(f"callbacks={name}: {module} has no {attribute}.", hint=f"Its classes: {', '.join(classes)}.")
    try:
        callback = found()
    except TypeError as error:
        raise StepFailed(
            f"callbacks={name}: it cannot be called without arguments: {error}.",
            hint="Give its arguments defaults, or name a function that makes one.",
        ) from error
    if not isinstance(callback, pl.Callback):
        raise StepFailed(
            f"callbacks={name}: what it makes is a {type(callback).__name__}.",
            hint="It should be a pytorch_lightning.Callback.",
        )
    return callback
