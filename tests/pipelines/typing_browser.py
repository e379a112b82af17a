"""A real browser at a page of this machine, typed into and looked at through its own protocol (CDP) on a pipe."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import time

import matplotlib.image
import numpy as np

from tests.data.browser import CHROMIUM

_CONTROL = 2


class Typing:
    """One page. The browser resolves no name but this machine's."""

    def __init__(self, url, profile, *, dark=False):
        self._url, self._profile, self._dark = url, profile, dark
        self._number, self._rest = 0, b""
        self.problems: list[str] = []
        """What the page's script, or the policy of its headers, complained of."""

    def __enter__(self):
        take, self._given = os.pipe()
        self._told, give = os.pipe()

        def connect():  # Chromium reads what it is asked from 3, and answers on 4
            os.dup2(take, 30)
            os.dup2(give, 31)
            os.dup2(30, 3)
            os.dup2(31, 4)

        self._process = subprocess.Popen(
            [
                *(CHROMIUM, "--headless", "--no-sandbox", "--no-first-run", "--disable-gpu", "--remote-debugging-pipe"),
                f"--user-data-dir={self._profile}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
            preexec_fn=connect,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(take)
        os.close(give)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if self._dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Page.navigate", url=self._url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        os.close(self._given)
        os.close(self._told)

    def ask(self, expression):
        """Evaluate an expression in the page."""
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait_for(self, expression, seconds=60):
        """Wait until an expression holds."""
        end = time.monotonic() + seconds
        while not self.ask(expression):
            assert time.monotonic() < end, (expression, self.problems)
            time.sleep(0.1)

    def type(self, text):
        """Type into what has the focus."""
        self._ask("Input.insertText", text=text)

    def press_enter_with_control(self):
        """Press Ctrl+Enter."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": _CONTROL}
        for kind in ("rawKeyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, **key)

    def screenshot(self, file):
        """Keep a picture of the page; give its pixels, each as the three bytes of its colour."""
        data = base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])
        file.write_bytes(data)
        return np.round(matplotlib.image.imread(io.BytesIO(data), format="png")[:, :, :3] * 255).astype(np.uint8)

    def _ask(self, method, **words):
        return self._call(method, self._session, **words)

    def _call(self, method, session="", **words):
        self._number += 1
        message = {"id": self._number, "method": method, "params": words} | ({"sessionId": session} if session else {})
        os.write(self._given, json.dumps(message).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            if told.get("method") == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(told["params"]["exceptionDetails"]))
            if told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.problems.append(told["params"]["entry"]["text"])

    def _read(self):
        while b"\0" not in self._rest:
            more = os.read(self._told, 1 << 20)
            assert more, "the browser ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)
