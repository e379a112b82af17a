"""Files that are read and converted on the nodes of a Ray cluster, spread over them by Ray Data."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from dlops.data.conversion import Conversion, Converted
from dlops.data.readers import Part
from dlops.data.rows import Reject
from dlops.errors import DataError, DlopsError, UnreachableError

ADDRESS = "RAY_ADDRESS"
"""Environment variable that names the cluster; Ray sets it in the jobs it runs."""
_SECONDS = 10
"""After which a cluster that takes no connection is not there."""


def is_named() -> bool:
    """Say whether this process runs on a cluster, or is told of one."""
    return bool(os.environ.get(ADDRESS))


def converted(parts: Sequence[Part], convert: Conversion) -> Iterator[Converted]:
    """Give what becomes of each chunk of all files, in the order of the files, whichever node reads them.

    Each file is one task, which Ray repeats on another node if its own is lost. All nodes must see the files, and have
    this version of dlops.

    Raises:
        DataError: a node does not see a file, or reading it ends the work.
        UnreachableError: the cluster does not answer.
    """
    import ray
    import ray.data

    connect(ray)
    for name in ("ray.data", "ray.data.dataset"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    files = ray.data.from_items([{"part": pickle.dumps(part)} for part in parts], override_num_blocks=len(parts))
    try:
        for row in files.map_batches(partial(_read, convert), batch_size=1).iter_rows():
            made = pickle.loads(row["made"])  # noqa: S301 - made by `_read`, on a node of the user's own cluster
            if isinstance(made, DlopsError):
                raise made
            made.node = row["node"]
            yield made
    except ray.exceptions.RayError as error:
        raise DataError(f"The cluster could not read the files: {str(error).strip().splitlines()[-1]}") from error


def connect(ray: Any) -> None:
    """Connect this process with the cluster, by the module `ray`.

    Raises:
        UnreachableError: it does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _knock(os.environ[ADDRESS])
        ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, OSError) as error:
        raise UnreachableError(
            f"The Ray cluster at {os.environ[ADDRESS]} does not answer: {str(error).splitlines()[0]}.",
            hint=f"Is it up? Without {ADDRESS} the files are read here.",
        ) from error


def _knock(address: str) -> None:
    """Refuse an address where nobody listens, which Ray would ask for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()


def _read(convert: Conversion, batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
    """Read one file on a node; what it ends with, if not well, is given as an error among the rest."""
    import ray

    (packed,) = batch["part"]
    part: Part = pickle.loads(packed)  # noqa: S301 - made by `converted`
    node = [ray.get_runtime_context().get_node_id()]
    try:
        if not part.file.path.exists():
            raise DataError(
                f"The node {socket.gethostname()} does not see {part.file.name}.",
                hint="Put the files where all nodes of the cluster see them, on a shared disk.",
            )
        for made in _converted(part, convert):
            yield {"made": [pickle.dumps(made)], "node": node}
    except DlopsError as error:
        yield {"made": [pickle.dumps(error)], "node": node}


def _converted(part: Part, convert: Conversion) -> Iterator[Converted]:
    rejects: list[Reject] = []
    for chunk in part.chunks(rejects.append):
        yield convert(chunk, rejects)
        rejects.clear()
    if rejects:
        yield convert.nothing(rejects)
