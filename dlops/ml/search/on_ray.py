"""Trials side by side on Ray Tune, which places, reuses and replaces their processes; the search says what is tried."""

from __future__ import annotations

import functools
import json
import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray._private.state import available_resources_per_node
from ray.tune import Callback, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from dlops.data import scratch
from dlops.errors import StepFailed
from dlops.ml import ray_nodes
from dlops.ml.progress import say
from dlops.ml.search.search import Objective, Search, ending
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Tune

_MORE = ("DLOPS_HOME", "TRANSFORMERS_", "OMP_")
"""Beginnings of the names of further variables that trials get."""
_OWN = ray_nodes.OWN | {"DLOPS_PROGRESS", "DLOPS_ORIGINS"}
_KINDS = ("CPU", "GPU")
_CPUS = 2.0
_LIVES = 2
"""Times that a trial whose process or node was lost begins again, from its last checkpoint."""
_UNWINDING = "600"
"""Seconds that a training has to end when its process is to be another's; a trial that has not is lost to Ray Tune."""
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # files that nobody reads: trials are runs
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails has no score
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


@dataclass(frozen=True)
class Room:
    """What each trial takes, and how many there is room for."""

    cpus: float
    gpus: float
    trials: int

    def __str__(self) -> str:
        what = f"{self.cpus:g} processors" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
        return f"{self.trials} side by side, {what} each"


def run(search: Search, settings: Tune, make: Callable[[], Objective]) -> None:
    """Run trials until the search is over; `make` makes the objective, once in each process.

    Raises:
        StepFailed: a trial needs more than any node has.
    """
    with _connected(), scratch.folder() as folder:
        room = _room(settings)
        say(f"On Ray: {room}")
        searcher = _Searcher(search)
        trial = functools.partial(
            _trial, make=make, environment=ray_nodes.variables(*_MORE), threads=max(1, int(room.cpus))
        )
        tuner = Tuner(
            tune.with_resources(trial, {"cpu": room.cpus, "gpu": room.gpus}),
            tune_config=TuneConfig(
                search_alg=searcher,
                scheduler=_Scheduler(search, searcher.known),
                num_samples=-1,
                max_concurrent_trials=room.trials,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name="search",
                storage_path=str(folder),
                verbose=0,
                failure_config=FailureConfig(max_failures=_LIVES),
                callbacks=[_Losses(search, searcher.known)],
            ),
        )
        try:
            tuner.fit()
        finally:
            for left in searcher.open():
                search.end(left, "interrupted")


class _Searcher(Searcher):
    """Hands the search's trials to Ray Tune."""

    def __init__(self, search: Search) -> None:
        super().__init__(metric="score", mode="max")
        self._search = search
        self.known: dict[str, Trial] = {}
        """The search's trials by the names that Ray Tune gives them."""
        self._ended: set[int] = set()

    def suggest(self, trial_id: str) -> Any:
        """Begin the next trial."""
        trial = self._search.next()
        if trial is None:
            return None if self._search.waits else Searcher.FINISHED
        self.known[trial_id] = trial
        return {
            "number": trial.number,
            "values": trial.values,
            "run_id": trial.run_id,
            "weights_from": trial.weights_from,
            "keep_from": self._search.least_kept(),
        }

    def open(self) -> list[Trial]:
        """List the trials whose end was not recorded."""
        return [trial for trial in self.known.values() if trial.number not in self._ended]

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Hear nothing: the scheduler does, and decides."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record how a trial ended; of one that was lost, `_Losses` does."""
        trial, said = self.known[trial_id], result or {}
        self._ended.add(trial.number)
        if error:
            return
        self._search.end(trial, said.get("status"), said.get("error", ""))

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: what a search knows is in the tracking store."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing."""


class _Scheduler(FIFOScheduler):
    """Asks the search whether a trial goes on."""

    def __init__(self, search: Search, known: Mapping[str, Trial]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search, self._known = search, known

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        """Take an epoch's score."""
        if "score" not in result or result.get("done"):
            return str(TrialScheduler.CONTINUE)
        told = self._known[trial.trial_id]
        goes_on = self._search.report(told, result["score"], last=result["last"], epoch=result["epoch"])
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class _Losses(Callback):
    """Records trials whose process or node was lost too often."""

    def __init__(self, search: Search, known: Mapping[str, Trial]) -> None:
        self._search, self._known = search, known

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that a trial begins again."""
        del iteration, trials, info
        say(f"Trial {self._known[trial.trial_id].number} lost its process, and goes on in another.")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record that a trial is lost."""
        del iteration, trials, info
        said = str(trial.get_error() or "its process was lost")
        large = any(words in said for words in ("OutOfMemory", "running low on memory"))
        self._search.end(self._known[trial.trial_id], "out_of_memory" if large else "failed", said[:2000])

    def get_state(self) -> None:
        """Keep nothing."""


def _trial(
    config: Mapping[str, Any], *, make: Callable[[], Objective], environment: Mapping[str, str], threads: int
) -> None:
    """Be one trial, in a process that may have been another before."""
    import torch

    os.environ.update(environment)
    for name in _OWN:
        os.environ.pop(name, None)
    os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = _UNWINDING  # what is ended early has that time to end
    torch.set_num_threads(threads)
    trial = Trial(
        config["number"],
        dict(config["values"]),
        config["run_id"],
        resumed_from=config["run_id"],
        weights_from=config["weights_from"],
    )

    def report(score: float, *, last: bool = False) -> bool:
        trial.note(score)
        tune.report({"score": trial.scores[-1], "epoch": len(trial.scores), "last": last})  # raises if it is ended
        return True

    try:
        _objective(make)(trial, report, lambda score: score >= config["keep_from"])
    except Exception as error:
        status, told = ending(error)
        tune.report({"status": status, "error": told})


@functools.lru_cache(maxsize=1)
def _objective(make: Callable[[], Objective]) -> Objective:
    return make()


@contextmanager
def _connected() -> Iterator[None]:
    """Be connected to the cluster that this is a job of, or to one of this machine that begins and ends here."""
    address, before = os.environ.get("RAY_ADDRESS"), dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    os.environ.update(_QUIET)
    try:
        if address:
            ray_nodes.connect()
        else:
            os.environ.setdefault("RAY_AUTH_TOKEN", _token())
            ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        for number, handler in handlers.items():  # Ray takes them, and would end the step as it does
            signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()
        for name in [name for name in os.environ if name.startswith(("RAY_", "TUNE_")) and name not in before]:
            del os.environ[name]
        os.environ.update({name: before[name] for name in _QUIET if name in before})


@functools.cache
def _token() -> str:
    """Give the token of clusters of this process alone; else Ray leaves one in the user's home, for all clusters."""
    return secrets.token_hex(32)


def _room(settings: Tune) -> Room:
    nodes = _resources()
    if len(nodes) > 1 and json.loads(os.environ.get("DLOPS_ORIGINS") or "{}"):
        raise StepFailed(
            "What was sent here with the job is on this node alone: trials on the others could not read it.",
            hint="Name dataset and model by a place that every node reaches, or set engine=process.",
        )
    most = max(node.get("CPU", 0.0) for node in nodes)
    some = settings.accelerator != "cpu" and any(node.get("GPU") for node in nodes)
    gpus = settings.trial_gpus or (1.0 if some else 0.0)
    cpus = settings.trial_cpus or max(1.0, min(_CPUS, most))
    room = sum(_fitting(node, cpus, gpus) for node in nodes)
    if not room:
        raise StepFailed(
            f"No node has {cpus:g} processors{f' and {gpus:g} GPUs' if gpus else ''} for a trial.",
            hint="Ask for less: trial_cpus=1 trial_gpus=0.5.",
        )
    return Room(cpus, gpus, min(room, settings.concurrency or room))


def _resources() -> list[dict[str, float]]:
    """Give what each node has for trials: of the node that this job is on, what it has left."""
    here = ray.get_runtime_context().get_node_id()
    nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
    left = available_resources_per_node()  # type: ignore[no-untyped-call]
    if here in left:
        nodes[here] = left[here]
    return [{name: resources.get(name, 0.0) for name in _KINDS} for resources in nodes.values()]


def _fitting(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    by_cpus = int(node.get("CPU", 0.0) / cpus + 1e-9)
    return min(by_cpus, int(node.get("GPU", 0.0) / gpus + 1e-9)) if gpus else by_cpus
