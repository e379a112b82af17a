"""`dlops ui`: the MLflow pages of what was recorded here."""

from __future__ import annotations

import os
import socket
import sys
from typing import Annotated

import typer

from dlops.cli import console
from dlops.cli.options import TrackingUri
from dlops.errors import UsageError
from dlops.project import plan
from dlops.worker import masking, tracking

_SERVER_SETTINGS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Pages need no job runners: MLflow starts eight processes for them, and leaves them running when it is ended."""

Host = Annotated[
    str, typer.Option("--host", help="Address to listen on; another than this machine's own lets others in.")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")]


def ui(host: Host = "127.0.0.1", port: Port = 5000, tracking_uri: TrackingUri = "") -> None:
    """Show runs, metrics and models in a browser (MLflow's own UI), until Ctrl-C."""
    uri = plan.tracking_uri(tracking_uri)
    if uri.startswith("http"):
        console.out().print(f"The tracking server has its own pages: {masking.url(uri)}", markup=False)
        return
    database = tracking.sqlite_file(uri)
    if database and not database.exists():
        raise UsageError(f"Nothing is recorded in {database}: there is no such file.", hint="Launch something first.")
    chosen = port if port and _is_free(host, port) else _free_port(host)
    if port and chosen != port:
        console.err().print(f"Port {port} is taken; using {chosen}.")
    console.err().print(f"http://{host}:{chosen} shows {masking.url(uri)}; Ctrl-C ends it.", markup=False)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", host, "--port", str(chosen)]
    for name, value in _SERVER_SETTINGS.items():
        os.environ.setdefault(name, value)
    os.execv(sys.executable, command)  # noqa: S606 - a list of arguments, no shell


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise UsageError(f"{host} is no address of this machine: {error.strerror}.") from error
        return int(probe.getsockname()[1])
