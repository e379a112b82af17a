"""What every request is held to before anybody reads it: who asks, how much is sent, how long that takes."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from dlops.ml.serving.metrics import Metrics

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/ping", "/health", "/", "/docs", "/openapi.json"})
"""Paths that need no token: who looks whether a server lives has none, and a page asks for it."""
ASSETS = "/docs/"
KNOWN = frozenset({"/invocations", "/predict", "/explain", "/feedback", "/metrics", "/version", *OPEN})
_ID = re.compile(rb"[\w.\-]{1,100}")


class Limits:
    """An ASGI application around another one."""

    def __init__(
        self, inside: Application, metrics: Metrics, *, token: str | None, most_bytes: int, seconds: float
    ) -> None:
        self._inside, self._metrics = inside, metrics
        self._token = token.encode() if token else None
        self._most_bytes, self._seconds = most_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        asked = headers.get(b"x-request-id", b"")
        identity = asked.decode() if _ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identity
        began, status = time.perf_counter(), 0
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", identity.encode())]
            await send(message)

        try:
            refused = self._refused(path, headers)
            if refused:
                await _respond(answer, *refused)
                return
            await self._held(scope, receive, answer)
        finally:
            self._metrics.request(path if path in KNOWN else "other", status or 499, time.perf_counter() - began)

    async def _held(self, scope: Scope, receive: Receive, answer: Send) -> None:
        """Read the body, no more and no longer than it may be, and let the application answer while somebody waits."""
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._body(receive)
        except TimeoutError:
            await _respond(answer, 408, f"The body did not come within {self._seconds:g} seconds.")
            return
        if body is None:
            return
        if len(body) > self._most_bytes:
            await _respond(answer, 413, f"The body has more than {self._most_bytes} bytes.")
            return
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def read() -> Message:
            message = next(messages, None)
            if message is None:
                await asyncio.Event().wait()
            assert message is not None
            return message

        work = asyncio.ensure_future(self._inside(scope, read, answer))
        gone = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():  # nobody waits for the answer any more
                work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    async def _body(self, receive: Receive) -> bytes | None:
        """Read a body, up to a little more than it may be; `None` where its sender went away."""
        parts: list[bytes] = []
        read = 0
        while read <= self._most_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            read += len(parts[-1])
            if not message.get("more_body", False):
                break
        return b"".join(parts)

    def _refused(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        if self._token and path not in OPEN and not path.startswith(ASSETS):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                return 401, "A token is needed: Authorization: Bearer TOKEN."
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._most_bytes:
            return 413, f"The body has more than {self._most_bytes} bytes."
        return None


async def _respond(send: Send, status: int, told: str) -> None:
    body = json.dumps({"detail": told}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (401, 408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
