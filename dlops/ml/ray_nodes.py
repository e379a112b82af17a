"""One training on several nodes of a Ray cluster: the step that runs on one of them starts itself on the others."""

from __future__ import annotations

import contextlib
import logging
import os
import runpy
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dlops.errors import StepFailed, UsageError
from dlops.ml import record
from dlops.ml.progress import say

_PASSED = ("MLFLOW_", "HF_")
"""Beginnings of the names of variables that the other nodes get."""
OWN = frozenset({"MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"})
"""Variables of this process alone."""
_FAILED = 4
_PAUSE = 2.0
"""Seconds that this process has to end for a reason of its own, before another node's failure is taken for it."""


@contextlib.contextmanager
def joined(nodes: int, *, gpus: int) -> Iterator[None]:
    """Have this step on `nodes` nodes, this one the first, while the context lasts; `gpus` is how many each takes.

    Where somebody else has started the nodes (NODE_RANK is set), nothing is done. A node that fails ends this process
    with status 4: its part of a sum would be waited for without end.

    Raises:
        UsageError: nobody starts the nodes: this is no Ray job, and no NODE_RANK is set.
        StepFailed: the cluster has not so many nodes.
    """
    if nodes == 1 or "NODE_RANK" in os.environ:
        yield
        return
    if not os.environ.get("RAY_ADDRESS"):
        raise UsageError(
            f"nodes={nodes} needs somebody who starts the step on each of them.",
            hint="Launch it on a Ray cluster (--on NAME), or set NODE_RANK, MASTER_ADDR and MASTER_PORT on each.",
        )
    import ray

    connect()
    try:
        here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        meeting = {"MASTER_ADDR": here, "MASTER_PORT": str(free_port())}
        started = _start(nodes, gpus, meeting)
        left = threading.Event()
        threading.Thread(target=_watch, args=(started, left, record.run_id()), daemon=True).start()
        os.environ.update(meeting, NODE_RANK="0")
        try:
            yield
        finally:
            left.set()
        ray.get(started)
    finally:
        ray.shutdown()


def connect(environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Connect to the cluster of RAY_ADDRESS, as a job whose processes find what lies here, and these variables."""
    import ray

    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"  # the job's own folder is that of its package
    ray.init(
        address=os.environ["RAY_ADDRESS"],
        runtime_env={"working_dir": str(Path.cwd()), "env_vars": dict(environment)},
        logging_level=logging.ERROR,
        log_to_driver=False,
    )


def variables(*more: str) -> dict[str, str]:
    """Give the variables that processes elsewhere need: as arguments, since Ray logs environments.

    They are those that a target gives its jobs, and those whose names begin as `_PASSED` or `more` say.
    """
    given = os.environ.get("DLOPS_VARIABLES", "").split(",")
    return {
        name: value
        for name, value in os.environ.items()
        if (name.startswith((*_PASSED, *more)) or name in given) and name not in OWN
    }


def _start(nodes: int, gpus: int, meeting: dict[str, str]) -> list[Any]:
    """Start the step on nodes other than this one; give what stands for their ends."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    fitting = [
        node["NodeID"]
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"] and node["NodeID"] != here and _has_room(node["Resources"], gpus)
    ]
    if len(fitting) < nodes - 1:
        what = f" with {gpus} GPUs" if gpus else ""
        raise StepFailed(
            f"nodes={nodes}, and the Ray cluster has {len(fitting) + 1}{what}.", hint="Ask for fewer, or add some."
        )
    say(f"Nodes: this one, and {nodes - 1} more of the Ray cluster")
    main = sys.modules["__main__"].__spec__
    passed = variables()
    return [
        ray.remote(_step)
        .options(
            num_cpus=1,
            num_gpus=gpus,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote(main.name if main else "", sys.argv[1:], {**passed, **meeting, "NODE_RANK": str(number)})
        for number, node in enumerate(fitting[: nodes - 1], start=1)
    ]


def _has_room(resources: dict[str, float], gpus: int) -> bool:
    return resources.get("CPU", 0) >= 1 and resources.get("GPU", 0) >= gpus


def _step(module: str, words: Sequence[str], environment: dict[str, str]) -> None:
    """Be the step, in a process of another node."""
    os.environ.update(environment)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module.removesuffix(".__main__"), run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"the step ended with status {ended.code} on {socket.gethostname()}") from None


def _watch(started: list[Any], left: threading.Event, run_id: str | None) -> None:
    """End this process when a node has failed, unless it is ending itself: then that is why the node did."""
    import ray

    try:
        ray.get(started)
    except Exception as error:  # whatever a node raises, and Ray's own
        if left.wait(_PAUSE):
            return
        sys.stdout.flush()
        sys.stderr.write(f"error: Another node of this training failed: {error}\n")
        sys.stderr.flush()
        if run_id:
            record.fail(run_id)
        os._exit(_FAILED)


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])
