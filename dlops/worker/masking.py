"""Secrets out of what is shown or kept: what gives access in URLs, values of secret-sounding names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MASK = "***"

_SECRET_NAME = re.compile(
    r"(?i)(^|[_\-.])(\w*passwd|\w*password|passphrase|secret|token|api_?key|access_?key|private_?key|credentials?"
    r"|connection_?string)($|[_\-.])"
)
_SECRET_VARIABLE = re.compile(r"[A-Z0-9_]*_(KEY|PASS|PWD|PAT)")
"""As variables of the environment are called: `OPENAI_KEY` is one, the parameter `group_key` is none."""
_NO_SECRET = re.compile(
    r"(?i)(^|[_\-.])(max|min|num|n|pad|eos|bos|cls|sep|mask|unk|per)[_\-.]tokens?$"
    r"|tokens?[_\-.](ids?|length|count|type|limit)"
)
_URL_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]*://)(?P<credentials>[^/\s'\"]+)@")
_QUERY = re.compile(r"/[^\s'\"/?]*\?[^\s'\"]+")
"""The end of a URL, or of its path alone, as clients tell it: a `?` in a program's text is none."""
_QUERY_SECRET = re.compile(
    r"(?i)(?P<name>[?&][^=&#]*(?:token|key|secret|sig|signature|password|credential)[^=&#]*=)[^&#]+"
)
SHORTEST = 6
"""A shorter value masks half of a log (`no`, `1`) and protects nothing."""


def is_secret(name: str) -> bool:
    """Say whether a parameter or variable of this name holds a secret (`API_KEY`, `hub_token`; not `max_tokens`)."""
    sounds = _SECRET_VARIABLE.fullmatch(name) or _SECRET_NAME.search(name)
    return bool(sounds) and not _NO_SECRET.search(name)


def url(text: str) -> str:
    """Mask user and password, signatures and keys of every URL in a text; a lone user name of ssh or git stays."""

    def masked(match: re.Match[str]) -> str:
        scheme, credentials = match["scheme"], match["credentials"]
        if ":" not in credentials and scheme.lower() in ("ssh://", "git+ssh://", "git://"):
            return match.group()
        return f"{scheme}{MASK}@"

    text = _URL_CREDENTIALS.sub(masked, text)
    return _QUERY.sub(lambda query: _QUERY_SECRET.sub(rf"\g<name>{MASK}", query.group()), text)


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
    return tuple(sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True))


def text(value: str, secrets: Iterable[str]) -> str:
    """Mask every known secret, and credentials in URLs, in a text."""
    if known := _longest_first(secrets):
        value = re.sub("|".join(map(re.escape, known)), MASK, value)
    return url(value)


class Stream:
    """Masks secrets in a stream of bytes, also where a secret is cut in two by a read."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = [secret.encode() for secret in _longest_first(secrets)]
        self._any = re.compile(b"|".join(map(re.escape, self._secrets)) or rb"(?!)")
        self._longest = len(self._secrets[0]) if self._secrets else 0
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Give what can be shown by now; the possible beginning of a secret is held back."""
        data = self._held + data
        shown, position = [], 0
        while True:
            found, unfinished = self._any.search(data, position), self._unfinished(data, position)
            if found is None or found.start() >= unfinished:  # a longer secret may begin where a shorter one does
                break
            shown += [data[position : found.start()], MASK.encode()]
            position = found.end()
        self._held = data[unfinished:]
        return b"".join([*shown, data[position:unfinished]])

    def rest(self) -> bytes:
        """Give what was held back, when nothing more comes."""
        held, self._held = self._held, b""
        return self._any.sub(MASK.encode(), held)

    def _unfinished(self, data: bytes, position: int) -> int:
        """Give where the end of `data` begins that is the beginning of a secret; the length of `data` if none is."""
        for start in range(max(position, len(data) - self._longest + 1), len(data)):
            if any(len(secret) > len(data) - start and secret.startswith(data[start:]) for secret in self._secrets):
                return start
        return len(data)


def _longest_first(secrets: Iterable[str]) -> list[str]:
    """Order secrets so that one which begins with another is masked whole."""
    return sorted(filter(None, secrets), key=len, reverse=True)
