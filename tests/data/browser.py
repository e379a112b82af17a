"""A real browser that can reach nothing: its every request goes to a proxy of ours, which notes it and answers none."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import matplotlib.image
import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")

_QUIET = ("background-networking", "component-update", "default-apps", "extensions", "sync", "gpu")
_CALLS_HOME = re.compile(r"(^|\.)(google|googleapis|gstatic|gvt1)\.com$")
"""Hosts of the browser's maker, which it asks for whatever page it shows, though told not to."""


class Browser:
    """Opens files, each in a fresh profile."""

    def __init__(self, folder):
        self._folder, self._visits = folder, 0
        self.asked: set[str] = set()
        """Hosts that pages have asked for."""

    def __enter__(self):
        self._folder.mkdir(exist_ok=True)
        asked = self.asked

        class Proxy(BaseHTTPRequestHandler):
            def handle_one_request(self):
                self.raw_requestline = self.rfile.readline(65537)
                self.close_connection = True
                if self.raw_requestline and self.parse_request():
                    host = urlsplit(self.path if "://" in self.path else f"//{self.path}").hostname or self.path
                    if not _CALLS_HOME.search(host):
                        asked.add(host)
                    self.send_error(403)

            def log_message(self, *words):
                """Say nothing."""

        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._proxy.shutdown()
        self._proxy.server_close()

    def content(self, page):
        """Give the elements of a page as they are once it is loaded."""
        return self._visit(page, "--dump-dom")

    def picture(self, page, *, dark=False):
        """Give the page's pixels, each as the three bytes of its colour."""
        file = self._folder / "page.png"
        self._visit(page, f"--screenshot={file}", "--window-size=1000,2400", *(["--force-dark-mode"] if dark else []))
        return np.round(matplotlib.image.imread(file)[:, :, :3] * 255).astype(np.uint8)

    def _visit(self, page, *options):
        self._visits += 1
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--no-first-run", "--hide-scrollbars"),
            *(f"--disable-{name}" for name in _QUIET),
            f"--user-data-dir={self._folder / f'profile-{self._visits}'}",
            f"--proxy-server=http://127.0.0.1:{self._proxy.server_port}",
            "--proxy-bypass-list=<-loopback>",  # that is: not even for this machine
            *options,
            page.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout


def pixels(picture, colour):
    """Count the pixels of a colour, #RRGGBB."""
    return int((picture == np.frombuffer(bytes.fromhex(colour.lstrip("#")), np.uint8)).all(axis=2).sum())
