"""Files behind `http://` and `https://`, asked for so that a download can go on where it broke off."""

from __future__ import annotations

import contextlib
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from dlops.data.downloads import Answer, TryAgainError
from dlops.errors import DataError, UsageError
from dlops.worker import masking

_TIMEOUT_S = (15.0, 60.0)
"""To connect, and between two blocks."""
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_HINTS = {
    401: "It asks for a user: https://USER:PASSWORD@…, or an entry in ~/.netrc.",
    403: "You may not read it, or its signature has run out.",
    404: "Is the address right?",
    410: "It was taken down.",
}


class Page:
    """A file on a web server."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            parts = urllib.parse.urlsplit(uri)
        except ValueError as error:
            raise UsageError(f"{masking.url(uri)} is no address: {error}.") from error
        if not parts.hostname:
            raise UsageError(f"{masking.url(uri)} is no address: it names no host.", hint="https://HOST/PATH")
        self.name = urllib.parse.unquote(parts.path).rpartition("/")[2]

    @contextlib.contextmanager
    def ask(self, validator: str, offset: int) -> Iterator[Answer]:
        """Ask for the file unless it is in the state of `validator`; with an offset, for the rest of that state."""
        import requests

        # a redirect to file: or ftp: fails: requests has no way to follow it
        with requests.Session() as session:
            session.max_redirects = 10
            try:
                with session.get(
                    self.uri, headers=_headers(validator, offset), stream=True, timeout=_TIMEOUT_S
                ) as response:
                    yield self._answer(response, validator)
            except (requests.TooManyRedirects, requests.exceptions.InvalidSchema) as error:
                raise DataError(f"{masking.url(self.uri)} leads elsewhere: {masking.url(str(error))[:300]}.") from error
            except (requests.exceptions.InvalidURL, UnicodeError) as error:
                raise UsageError(f"{masking.url(self.uri)} is no address: {masking.url(str(error))}.") from error
            except requests.RequestException as error:
                raise TryAgainError(_told(error)) from error

    def _answer(self, response: Any, validator: str) -> Answer:
        code = response.status_code
        if code == 304 and validator:
            return Answer(unchanged=True)
        if code in _AGAIN:
            raise TryAgainError(f"the server answers {code}", wait_s=_number(response.headers.get("Retry-After")))
        if code == 416:  # what we have is longer than the file: it is another one by now
            return Answer(unchanged=True)
        if code not in (200, 206):
            hint = _HINTS.get(code, "Does the address work in a browser?")
            raise DataError(f"{masking.url(self.uri)} cannot be downloaded: the server answers {code}.", hint=hint)
        if "text/html" in response.headers.get("Content-Type", "") and not self.name.endswith((".html", ".htm")):
            hint = "It may be a page about the file, or one to log in; name the address of the file itself."
            raise DataError(f"{masking.url(self.uri)} is a web page, not a file with data.", hint=hint)
        blocks = response.iter_content(1 << 20)
        name = _filename(response.headers.get("Content-Disposition", ""))
        if response.headers.get("Content-Encoding", "identity") != "identity":  # sizes are those of what is packed then
            return Answer(blocks=blocks, name=name)
        state, length = _validator(response.headers), response.headers.get("Content-Length", "")
        if code == 200:
            return Answer(size=int(length) if length.isdigit() else None, validator=state, blocks=blocks, name=name)
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if not found:
            raise TryAgainError("the server answers with a part, and does not say which")
        size = int(found[2]) if found[2] != "*" else None
        return Answer(offset=int(found[1]), size=size, validator=state, blocks=blocks, name=name)


def _headers(validator: str, offset: int) -> dict[str, str]:
    kind, _, state = validator.partition(":")
    headers = {"Accept-Encoding": "identity", "User-Agent": "dlops"}
    if offset:  # a weak validator would do for text that reads the same; a rest must be of the same bytes
        return headers if state.startswith("W/") else headers | {"Range": f"bytes={offset}-", "If-Range": state}
    return headers | ({"If-None-Match" if kind == "etag" else "If-Modified-Since": state} if state else {})


def _validator(headers: Any) -> str:
    kinds = {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}
    return next((f"{kind}:{state}" for kind, state in kinds.items() if state), "")


def _filename(disposition: str) -> str:
    found = re.search(r'filename="?([^";]+)', disposition)
    return found[1].replace("\\", "/").rpartition("/")[2] if found else ""


def _number(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0


def _told(error: Exception) -> str:
    """Tell the innermost reason: requests wraps urllib3's errors, which wrap the system's."""
    inner: Any = error
    while inner.__cause__ or inner.__context__ or getattr(inner, "reason", None):
        reason = getattr(inner, "reason", None)
        following = reason if isinstance(reason, BaseException) else inner.__cause__ or inner.__context__
        if following is None or following is inner:
            break
        inner = following
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return f"the connection failed ({text[:200]})"
