"""Files that a command reads from a local place, fetched from wherever their URI says."""

from __future__ import annotations

import base64
import shutil
import urllib.request
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from dlops.worker import masking

_OF_MLFLOW = "/mlflow-artifacts/artifacts"
_TIMEOUT = 60.0
"""Seconds without a byte after which a web server is given up."""


def fetch(uri: str, folder: Path, tracking_uri: str) -> str:
    """Fetch a file or folder into `folder`; give its place there.

    A plain web address is fetched here: MLflow takes it for one of its own servers', which are left to it.

    Raises:
        OSError: a web server does not give the file, or not to its end.
        Exception: whatever MLflow, or a store that it asks, raises.
    """
    if urlsplit(uri).scheme in ("http", "https") and _OF_MLFLOW not in uri:
        return _from_the_web(uri, folder)
    from mlflow.artifacts import download_artifacts

    return str(download_artifacts(uri, dst_path=str(folder), tracking_uri=tracking_uri))


def _from_the_web(uri: str, folder: Path) -> str:
    parts = urlsplit(uri)
    place = folder / (Path(unquote(parts.path)).name or "file")
    host = parts.netloc.rpartition("@")[2]
    path, query = quote(parts.path, safe="/%:@!$&'()*+,;=~"), quote(parts.query, safe="/?%:@!$&'()*+,;=~")
    request = urllib.request.Request(urlunsplit((parts.scheme, host, path, query, "")))  # noqa: S310 - see fetch
    if parts.username:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(known.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, place.open("wb") as file:  # noqa: S310
        shutil.copyfileobj(answer, file, 1 << 20)
        size = answer.headers.get("Content-Length")
    if size and place.stat().st_size != int(size):
        raise OSError(f"{masking.url(uri)} broke off after {place.stat().st_size} of {size} bytes")
    return str(place)
