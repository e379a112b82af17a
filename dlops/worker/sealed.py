"""A job on its way through a cluster's storage, logs and dashboards: unreadable but for the worker it is meant for.

The key goes another way than the text, and is used once. It keeps secrets out of what lies about (packages, folders,
logs), not from people who may run code on the cluster: they could read the worker's memory too.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

KEY = "DLOPS_JOB_KEY"
"""Environment variable by which a worker gets the key."""
_TAG = 32


def new_key() -> str:
    """Make a key of 256 bits, for one text."""
    return secrets.token_hex(32)


def seal(text: str, key: str) -> bytes:
    """Encrypt and authenticate a text: a one-time key's SHAKE-256 stream, then HMAC-SHA-256 of what comes of it."""
    data = _with_stream(text.encode(), key)
    return _tag(data, key) + data


def unseal(sealed: bytes, key: str) -> str:
    """Give the text back.

    Raises:
        ValueError: the key is another's, or somebody changed the text.
    """
    tag, data = sealed[:_TAG], sealed[_TAG:]
    if not hmac.compare_digest(tag, _tag(data, key)):
        raise ValueError("the job was sealed with another key, or was changed on its way")
    return _with_stream(data, key).decode()


def _with_stream(data: bytes, key: str) -> bytes:
    stream = hashlib.shake_256(b"stream" + bytes.fromhex(key)).digest(len(data))
    return bytes(left ^ right for left, right in zip(data, stream, strict=True))


def _tag(data: bytes, key: str) -> bytes:
    return hmac.digest(b"tag" + bytes.fromhex(key), data, "sha256")
