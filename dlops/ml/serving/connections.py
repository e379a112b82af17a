"""Connections as uvicorn holds them, with an end for those that say nothing, or never come to the end of a head."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def patient(seconds: float) -> type[HttpToolsProtocol]:
    """Give a protocol that waits so many seconds for the head of a request; for its body, whoever reads it does.

    Between two requests uvicorn itself waits, as long as it is told to.
    """

    class Connection(HttpToolsProtocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            over = self.cycle is None or self.cycle.response_complete
            if over and self.timeout_keep_alive_task is None and self._waiting is None:  # it begins nothing
                self._wait()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._wait()

        def on_headers_complete(self) -> None:
            self._wait_no_more()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait_no_more()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._wait_no_more()
            self._waiting = self.loop.call_later(seconds, self._refuse)

        def _wait_no_more(self) -> None:
            if self._waiting:
                self._waiting.cancel()
                self._waiting = None

        def _refuse(self) -> None:
            self.transport.write(_LATE)
            self.transport.close()

    return Connection
