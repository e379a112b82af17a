"""The frame of every step: settings from the command line, one MLflow run, a truthful end."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeVar

from dlops.config import schema
from dlops.errors import ConfigError, DlopsError, GateFailed, Interrupted, UnreachableError, UsageError
from dlops.ml import memory, ranks

Settings = TypeVar("Settings")

_BUG = 1
_FAILED = 4


def main(settings_type: type[Settings], function: Callable[[Settings], None]) -> NoReturn:
    """Run a step as a process: parse its parameters, open its run, do the work, end both truthfully.

    The exit status is 0, 2 (wrong parameters or files), 3 (a gate said no), 4 (the step failed), 5 (a registry did not
    answer), 130 (interrupted by a signal) or 1 (a bug, with its traceback).
    """
    sys.exit(run(settings_type, function, sys.argv[1:]))


def run(settings_type: type[Settings], function: Callable[[Settings], None], arguments: list[str]) -> int:
    """Do what `main` does, and give the exit status."""
    gc.freeze()  # what was imported stays to the end: no collection needs to look at it
    gc.enable()
    try:
        settings = schema.parse(settings_type, arguments)
    except DlopsError as error:
        return _explain(error)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _tracked(settings, function)
    except _Ended as ended:
        return _explain(Interrupted(str(ended)))
    except DlopsError as error:
        return _explain(error)
    except Exception as error:
        if memory.is_exhausted(error):
            return _explain(memory.exhausted("The step", error))
        traceback.print_exc()
        return _BUG


def _tracked(settings: Settings, function: Callable[[Settings], None]) -> int:
    """Work inside the launcher's run where there is one, else inside a run of one's own."""
    if not ranks.is_first():
        function(settings)
        return 0
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    name = type(settings).__name__.lower()
    launched = "MLFLOW_RUN_ID" in os.environ
    mlflow.start_run(run_name=None if launched else name)
    status = "FAILED"
    try:
        mlflow.set_tag("dlops.step", name)
        if not launched:
            mlflow.log_params(_parameters(settings))
        function(settings)
        status = "FINISHED"
    except GateFailed:
        mlflow.set_tag("dlops.gate", "failed")
        raise
    except UnreachableError:
        with contextlib.suppress(Exception):  # what does not answer may be the store itself
            mlflow.set_tag("dlops.gate", "unreachable")
        raise
    except _Ended:
        status = "KILLED"
        raise
    finally:
        mlflow.end_run(status)
    return 0


def _parameters(settings: object) -> dict[str, str]:
    """Give the settings as their canonical texts; what was left out is left out."""
    values = {known.name: known.canonical(getattr(settings, known.name)) for known in schema.parameters(type(settings))}
    return {name: text for name, text in values.items() if text}


def _explain(error: DlopsError) -> int:
    """Say what happened and what to do next on stderr; give the exit status."""
    lines = [f"error: {error}"]
    if error.hint:
        lines.append(f"hint: {error.hint}")
    sys.stdout.flush()
    sys.stderr.write("\n".join(lines) + "\n")
    known = isinstance(error, UsageError | ConfigError | GateFailed | UnreachableError | Interrupted)
    return error.exit_code if known else _FAILED


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    for heard in (signal.SIGINT, signal.SIGTERM):
        signal.signal(heard, signal.SIG_IGN)
    raise _Ended(f"Ended by {signal.Signals(number).name}.")


class _Ended(BaseException):
    """A signal asked the step to end.

    It is no Exception, which much code takes for a failure of its own and goes on; nor a KeyboardInterrupt, which
    Lightning swallows, and exits with status 1.
    """
