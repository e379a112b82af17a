"""The server as a process: it listens, says when it is ready, and ends when it is asked to, every request answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

import uvicorn

from dlops.errors import StepFailed, UsageError
from dlops.ml.serving.app import Server, create
from dlops.ml.serving.connections import patient
from dlops.ml.settings import Serve

Ready: TypeAlias = Callable[[str, Mapping[str, str | None]], None]
"""Told where a server answers, and the version that does, as `Deployment.document` names it."""

_ENDING = (signal.SIGTERM, signal.SIGINT)
_BACKLOG = 2048
_IDLE = 75
"""Seconds for which a connection may say nothing between requests."""


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again before all is cleaned up."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Serve, ready: Ready) -> int:
    """Serve until a signal asks for the end, and give that signal; `ready` is told once the model has answered.

    Raises:
        UsageError: the address is taken, or the token, certificate or key is none.
        StepFailed: the model cannot answer.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each connection takes one; the soft limit is often 1,024
    secret = token(settings)
    check_certificate(settings)
    listener = _listener(settings)
    config = uvicorn.Config(
        lambda: None,
        http=patient(settings.time_limit),
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    loop = config.get_loop_factory()
    with contextlib.closing(listener), handlers_kept(), asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(_served(settings, secret, config, listener, ready))


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Put back what signals did before; an event loop would leave them to end the process at once."""
    before = {number: signal.getsignal(number) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _served(
    settings: Serve,
    token: str | None,
    config: uvicorn.Config,
    listener: socket.socket,
    ready: Ready,
) -> int:
    server = Server(settings, token=token)
    config.app = create(server)
    listening = _Uvicorn(config)
    asked = 0

    def end(number: int) -> None:
        nonlocal asked
        asked = asked or number
        listening.should_exit = True
        opening.cancel()

    loop = asyncio.get_running_loop()
    opening = asyncio.create_task(_opened(server, partial(ready, url(settings, listener))))
    for number in _ENDING:
        loop.add_signal_handler(number, end, number)
    opening.add_done_callback(lambda _: setattr(listening, "should_exit", listening.should_exit or _failed(opening)))
    try:
        await listening.serve(sockets=[listener])
        with contextlib.suppress(asyncio.CancelledError):
            await opening
    finally:
        await server.close()
    return asked


async def _opened(server: Server, ready: Callable[[Mapping[str, str | None]], None]) -> None:
    await server.open()
    assert server.traffic.champion
    await asyncio.to_thread(ready, server.traffic.champion.document())


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


def url(settings: Serve, listener: socket.socket) -> str:
    """Give the address under which the server is reached."""
    scheme = "https" if settings.tls_cert else "http"
    host = settings.host if settings.host not in ("0.0.0.0", "::", "") else socket.gethostname()  # noqa: S104
    return f"{scheme}://{bracketed(host)}:{listener.getsockname()[1]}"


def bracketed(host: str) -> str:
    """Give a host as a URL has it."""
    return f"[{host}]" if ":" in host else host


def _listener(settings: Serve) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"Nothing can listen on {settings.host}:{settings.port}: {error.strerror or error}.",
            hint="Name another port, or port=0 for a free one.",
        ) from error
    listener.set_inheritable(False)
    return listener


def token(settings: Serve) -> str | None:
    """Read the token that every request must carry.

    Raises:
        UsageError: the variable that is to hold it is not there, or is empty.
    """
    if settings.token_variable is None:
        return None
    found = os.environ.get(settings.token_variable, "")
    if not found:
        raise UsageError(
            f"token_variable={settings.token_variable}: there is no such environment variable, or it is empty.",
            hint="Where the server runs elsewhere, let its target pass the variable on.",
        )
    return found


def check_certificate(settings: Serve) -> None:
    """Look whether the server's certificate can be used.

    Raises:
        UsageError: it is named without its key, or the other way round.
        StepFailed: it cannot be read.
    """
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError("tls_cert and tls_key go together.")
    if settings.tls_cert:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise StepFailed(f"The certificate or its key cannot be read: {error}") from error
