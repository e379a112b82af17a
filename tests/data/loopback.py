"""A web server on the loopback that breaks off, changes its mind and lies, as a test tells it to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves what `answers` makes of a request: one function for each request, the last for all that follow."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Callable[[Handler], None]] = []
        self.requests: list[dict[str, str]] = []
        """Headers of each request."""

    def handle_error(self, request, client_address):
        """A connection that is broken off is no news here."""

    def uri(self, path="/a.csv", user=""):
        return f"http://{user}127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append(dict(self.headers))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *args) -> None:
        pass


@contextlib.contextmanager
def serving(server):
    """Let a server answer as long as the context lasts."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def running():
    return serving(Server())


def code(status, body=b"no", **headers):
    """Answer with a status."""

    def answer(handler):
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def file(content, *, etag='"1"', stop=None, ranges=True, announced=None, modified=""):
    """Answer with a file as a good server does; `stop` breaks off after so many bytes, `announced` lies about them."""

    def answer(handler):
        known = handler.headers.get("If-None-Match") or handler.headers.get("If-Modified-Since")
        if known and known in (etag, modified):
            code(304, b"")(handler)
            return
        asked, state = handler.headers.get("Range"), handler.headers.get("If-Range")
        begin = int(asked[6:-1]) if asked and ranges and state in (etag or modified, None) else 0
        rest = content[begin:]
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Length", str(announced or len(rest)))
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if etag:
            handler.send_header("ETag", etag)
        if modified:
            handler.send_header("Last-Modified", modified)
        handler.end_headers()
        handler.wfile.write(rest[: stop - begin if stop else None])
        if stop or announced:
            handler.close_connection = True

    return answer
