"""A tracking client that is quick to import, safe to open many times at once, and patient."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dlops.worker import locks, masking

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

_NOT_IN_SKINNY = ("pandas", "numpy", "scipy", "pyarrow", "sklearn", "matplotlib", "IPython")
"""What `mlflow` imports when it is there and does without in `mlflow-skinny`: a third of its import time."""

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # `patiently` asks again
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_OWN = frozenset({"MLFLOW_HTTP_REQUEST_MAX_RETRIES"} - os.environ.keys())
_FINAL = frozenset(
    {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED"}
)


_ONE_MOVES = threading.Lock()
"""Held while this process is in another folder: a second thread would take that for the one to come back to."""


class Unreachable(Exception):
    """The tracking store did not answer, or refused."""


def load(uri: str = "") -> None:
    """Import MLflow now, and what a store of this kind needs; where that fails, `connect` says why."""
    with contextlib.suppress(Exception), _no_collection():
        _mlflow_client()
        if uri.startswith(_DATABASES):
            importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
            importlib.import_module("sqlalchemy.orm").configure_mappers()


def settle() -> None:
    """Set what MLflow reads here, and in commands that are started from here."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)


def own_settings() -> frozenset[str]:
    """Name the variables that were set here and are no command's: it waits longer for a server, having nothing else."""
    return _OWN


def connect(uri: str, lock_folder: str = "") -> MlflowClient:
    """Open a tracking store; a local database is initialised once, under a lock, however many come at once.

    MLflow gives a local store the artifact folder `./mlruns`: it is opened in the database's folder, so that the
    artifacts always lie beside it.

    Raises:
        Unreachable: the store cannot be opened.
    """
    try:
        with _no_collection():
            client_class = _mlflow_client()
            if database := sqlite_file(uri):
                database.parent.mkdir(parents=True, exist_ok=True)
                with locks.held(_lock(lock_folder, uri)), _inside(database.parent):
                    return client_class(uri)
            return client_class(uri)
    except ModuleNotFoundError as error:
        raise Unreachable(
            f"{masking.url(uri)} needs a driver that is not installed: pip install {error.name}"
        ) from error
    except Exception as error:
        raise Unreachable(f"{masking.url(uri)} cannot be opened: {first_line(error)}") from error


def sqlite_file(uri: str) -> Path | None:
    """Give the database file of a `sqlite:///` URI, absolute; what follows a `?` is for the driver."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).absolute()


def experiment(client: MlflowClient, name: str) -> str:
    """Give the id of an experiment, made when it is not there; two that make it at once get the same one.

    Raises:
        Unreachable: the store does not answer, or the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    def find_or_make() -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name))
            except MlflowException as error:
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise error from None
        if found.lifecycle_stage != "active":
            raise Unreachable(f"The experiment {name!r} was deleted. Restore it, or name another: --experiment NAME.")
        return str(found.experiment_id)

    return patiently(find_or_make, seconds=10)


def patiently(call: Callable[[], Result], *, seconds: float) -> Result:
    """Call until it answers, with growing pauses, for `seconds` at most; what no repeat can mend ends at once.

    Raises:
        Unreachable: it never answered, or refused.
    """
    deadline, pause = time.monotonic() + seconds, 0.2
    while True:
        try:
            return call()
        except Unreachable:
            raise
        except Exception as error:  # clients, drivers and networks have no exception in common
            if getattr(error, "error_code", "") in _FINAL or time.monotonic() + pause > deadline:
                raise Unreachable(first_line(error)) from error
        time.sleep(pause)
        pause = min(pause * 2, 5.0)


def _mlflow_client() -> Any:
    """Import MLflow the way its own skinny package installs it: without the data-frame stack."""
    if "mlflow" not in sys.modules:
        settle()
        left_out = [name for name in _NOT_IN_SKINNY if name not in sys.modules]
        sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]  # None: "not installed"
        try:
            importlib.import_module("mlflow")
        finally:
            for name in left_out:
                del sys.modules[name]
    from mlflow import MlflowClient

    return MlflowClient


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Go to a folder, and come back: also to one that was removed meanwhile."""
    with _ONE_MOVES:
        here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
        try:
            os.chdir(folder)
            yield
        finally:
            os.fchdir(here)
            os.close(here)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out of two thousand imports, where it finds nothing and takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _lock(folder: str, uri: str) -> Path:
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Path(folder or tempfile.gettempdir()) / f"dlops-store-{name}.lock"


def first_line(error: BaseException) -> str:
    """Give the first line of an error's text, secrets of URLs masked; its kind where it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return masking.url(lines[0]) if lines else type(error).__name__
