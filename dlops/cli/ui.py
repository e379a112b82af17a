"""`dlops ui`: the MLflow pages of what was recorded here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from dlops.cli import console
from dlops.cli.options import TrackingUri
from dlops.errors import UnreachableError, UsageError
from dlops.project import plan
from dlops.project.runs import check_store
from dlops.worker import masking

_SERVER_SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",
}
"""Pages need no job runners: MLflow starts eight processes for them, and leaves them running when it is ended.
What it uses that is deprecated is nobody's concern here."""
_SERVER = ("-m", "mlflow", "ui", "--workers", "1", "--uvicorn-opts", "--log-level warning")
"""One process of pages starts in half the time of four, and is enough for those who look at this machine's runs."""
_UNTIL_WE_ARE_GONE = (
    'exec 3<&0; (trap "" TERM; read _ <&3; kill 0; sleep 5; kill -s KILL 0) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null'
)
"""Runs a command, and beside it who ends its process group when the pipe of standard input closes, as it does
whichever way its writer ends, by SIGKILL too."""
_GRACE = 5.0
"""Seconds for what the pages are answering."""

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
    check_store(uri)
    chosen = port if port and _is_free(host, port) else _free_port(host)
    if port and chosen != port:
        console.err().print(f"Port {port} is taken; using {chosen}.")
    console.err().print(f"Starting the pages of {masking.url(uri)} …", markup=False)
    # the URI may hold a password: every user of this machine sees a command line, and its owner alone the environment
    environment = {**_SERVER_SETTINGS, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    with _running([sys.executable, *_SERVER, "--host", host, "--port", str(chosen)], environment) as server:
        while not _answers(host, chosen):
            if server.poll() is not None:
                raise UnreachableError("MLflow's server has ended; what it said stands above.")
            time.sleep(0.1)
        console.err().print(f"http://{host}:{chosen} shows them; Ctrl-C ends it.", markup=False)
        server.wait()
    raise UnreachableError("MLflow's server has ended.")


@contextmanager
def _running(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for as long as we are here, and end every process of it, however we end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(
        ["/bin/sh", "-c", _UNTIL_WE_ARE_GONE, "sh", *command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert server.stdin is not None
    try:
        yield server
    finally:
        server.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            server.wait(_GRACE)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(server.pid, signal.SIGKILL)


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


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
