"""Real Git servers on loopback: `git http-backend` behind basic authentication, with LFS, and `git daemon`."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.data.loopback import serving
from tests.servers import free_port


class Web(ThreadingHTTPServer):
    """Serves the bare repositories below a folder; with a `password`, to the user `ann` alone."""

    daemon_threads = True

    def __init__(self, folder: Path, password: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.password = folder, password
        self.asked: list[str] = []
        """Method and path of each request, in order."""

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class Handler(BaseHTTPRequestHandler):
    """Hands each request to `git http-backend`, as a web server does (CGI, RFC 3875)."""

    server: Web
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.asked.append(f"{self.command} {path}")
        body = self._body()
        if self.server.password and self.headers.get("Authorization") != self._expected():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if "/info/lfs/" in path:
            self._serve_large(path, body)
            return
        environ = os.environ | {
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "ann",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((int(value.split()[0]) for name, value in lines if name == "Status"), 200)
        self.send_response(status)
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _serve_large(self, path: str, body: bytes) -> None:
        """Answer what Git LFS asks, from the objects that a push to the repository's folder has left there."""
        repository, _, asked = path.partition("/info/lfs/")
        if asked == "objects/batch":
            objects = [self._offered(repository, each) for each in json.loads(body)["objects"]]
            content = json.dumps({"transfer": "basic", "objects": objects}).encode()
        else:
            content = self._large(repository, asked.removeprefix("objects/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _offered(self, repository: str, asked: dict[str, Any]) -> dict[str, Any]:
        if not self._large(repository, asked["oid"]).is_file():
            return {**asked, "error": {"code": 404, "message": "Object does not exist"}}
        header = {"Authorization": self.headers["Authorization"]} if self.server.password else {}
        href = f"{self.server.url}{repository}/info/lfs/objects/{asked['oid']}"
        return {**asked, "actions": {"download": {"href": href, "header": header}}}

    def _large(self, repository: str, name: str) -> Path:
        return self.server.folder / repository.strip("/") / "lfs/objects" / name[:2] / name[2:4] / name

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _expected(self) -> str:
        return "Basic " + base64.b64encode(f"ann:{self.server.password}".encode()).decode()


def web(folder: Path, password: str = "") -> AbstractContextManager[Web]:
    """Serve as long as the context lasts."""
    return serving(Web(folder, password))


@contextlib.contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """Run `git daemon` over the repositories below a folder; gives its URL."""
    port = free_port()
    command = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen([*command, f"--base-path={folder}", str(folder)], start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()
