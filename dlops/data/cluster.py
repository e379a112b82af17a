"""Files that are read and converted on the nodes of a Ray cluster, spread over them by Ray Data."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
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

    connect(ray)

    def failed(why: str) -> DataError:
        return DataError(f"The cluster could not read the files: {why}")

    for made in spread(parts, partial(_read, convert), failed):
        if isinstance(made, DlopsError):
            raise made
        yield made


def spread(
    parts: Sequence[Any],
    work: Any,
    failed: Callable[[str], DlopsError],
    *,
    made_of: Sequence[Any] | None = None,
) -> Iterator[Any]:
    """Let the nodes of the cluster that this process is connected with work on parts; give what comes of them in order.

    Each part is one task, which Ray repeats on another node if its own is lost. `work` gives the results of a part;
    with `made_of` it is a class: each process has an object of it, made of these arguments, which gives one result.

    Raises:
        DlopsError: the cluster could not do it; made by `failed` of the reason.
    """
    import ray
    import ray.data

    for name in ("ray.data", "ray.data.dataset"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its import has set it otherwise
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    count = max(1, len(parts))
    rows = ray.data.from_items([{"part": pickle.dumps(part)} for part in parts], override_num_blocks=count)
    if made_of is None:
        made = rows.map_batches(partial(_each, work), batch_size=1)
    else:
        made = rows.map_batches(
            _Process,
            fn_constructor_args=(work, tuple(made_of)),
            batch_size=1,
            concurrency=(1, min(count, processes())),
            num_cpus=1,
            num_gpus=1 if gpus() else 0,
        )
    try:
        for row in made.iter_rows():
            yield pickle.loads(row["made"])  # noqa: S301 - made by `_each` or `_Process`, on the user's own cluster
    except ray.exceptions.RayError as error:
        raise failed(str(error).strip().splitlines()[-1]) from error


def gpus() -> int:
    """Give how many GPUs the cluster has that this process is connected with."""
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(there.get("GPU", 0))


def processes() -> int:
    """Give how many processes work on that cluster side by side: one for each GPU, else one for each processor."""
    import ray

    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return gpus() or max(1, int(there.get("CPU", 1)))


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


def _each(work: Callable[[Any], Iterator[Any]], batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
    (part,) = batch["part"]
    for made in work(pickle.loads(part)):  # noqa: S301 - made by `spread`
        yield {"made": [pickle.dumps(made)]}


class _Process:
    """A process of a cluster, which keeps what it works with."""

    def __init__(self, kind: Any, made_of: tuple[Any, ...]) -> None:
        self._work = kind(*made_of)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        (part,) = batch["part"]
        return {"made": [pickle.dumps(self._work(pickle.loads(part)))]}  # noqa: S301 - made by `spread`


def _read(convert: Conversion, part: Part) -> Iterator[Converted | DlopsError]:
    """Read one file on a node; what it ends with, if not well, is given as an error among the rest."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    try:
        if not part.file.path.exists():
            raise DataError(
                f"The node {socket.gethostname()} does not see {part.file.name}.",
                hint="Put the files where all nodes of the cluster see them, on a shared disk.",
            )
        for made in _converted(part, convert):
            made.node = node
            yield made
    except DlopsError as error:
        yield error


def _converted(part: Part, convert: Conversion) -> Iterator[Converted]:
    rejects: list[Reject] = []
    for chunk in part.chunks(rejects.append):
        yield convert(chunk, rejects)
        rejects.clear()
    if rejects:
        yield convert.nothing(rejects)
