"""Secrets out of what is shown or kept: credentials in URLs, values of secret-sounding names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MASK = "***"

_SECRET_NAME = re.compile(
    r"(?i)(^|[_\-.])(passwd|password|passphrase|secret|token|api_?key|access_?key|private_?key|credentials?)($|[_\-.])"
)
_NO_SECRET = re.compile(
    r"(?i)(max|min|num|n|pad|eos|bos|cls|sep|mask|unk|per)[_\-.]tokens?$|tokens?[_\-.](length|count|type|limit)"
)
_URL_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]*://)(?P<credentials>[^/\s@'\"]+)@")
_SHORTEST = 6
"""A shorter value masks half of a log (`no`, `1`) and protects nothing."""


def is_secret(name: str) -> bool:
    """Say whether a parameter or variable of this name holds a secret (`API_KEY`, `hub_token`; not `max_tokens`)."""
    return bool(_SECRET_NAME.search(name)) and not _NO_SECRET.search(name)


def url(text: str) -> str:
    """Mask user and password of every URL in a text; a lone user name of ssh or git stays."""

    def masked(match: re.Match[str]) -> str:
        scheme, credentials = match["scheme"], match["credentials"]
        if ":" not in credentials and scheme.lower() in ("ssh://", "git+ssh://", "git://"):
            return match.group()
        return f"{scheme}{MASK}@"

    return _URL_CREDENTIALS.sub(masked, text)


def known_secrets(
    environment: Mapping[str, str], params: Mapping[str, str], texts: Iterable[str] = ()
) -> tuple[str, ...]:
    """Collect the secret values themselves: of variables, of parameters, and inside URLs; longest first."""
    values = {value for name, value in (*environment.items(), *params.items()) if is_secret(name)}
    for text in (*texts, *params.values(), *environment.values()):
        for match in _URL_CREDENTIALS.finditer(text):
            values.add(match["credentials"].partition(":")[2])
            if match["scheme"].startswith("http"):
                values.add(match["credentials"])
    return tuple(sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True))


def text(value: str, secrets: Iterable[str]) -> str:
    """Mask every known secret, and credentials in URLs, in a text."""
    for secret in secrets:
        value = value.replace(secret, MASK)
    return url(value)


class Stream:
    """Masks secrets in a stream of bytes, also where a secret is cut in two by a read."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Give what can be shown by now; the possible beginning of a secret is held back."""
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, MASK.encode())
        held = max((_overlap(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - held :]
        return data[: len(data) - held]

    def rest(self) -> bytes:
        """Give what was held back, when nothing more comes."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, secret: bytes) -> int:
    """Give the length of the longest end of `data` that is a beginning of `secret`."""
    for length in range(min(len(secret) - 1, len(data)), 0, -1):
        if data.endswith(secret[:length]):
            return length
    return 0
