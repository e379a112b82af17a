"""The runs of trials, nested below the search's: what a search that goes on knows of itself is read from them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from dlops.errors import StepFailed
from dlops.ml import kept_weights
from dlops.ml.checkpoint_artifacts import FOLDER
from dlops.ml.search.trials import Trial
from dlops.worker import masking
from dlops.worker.reaper import LONGEST_TAG, SEARCH

_VALUES, _SCORES = "dlops.trial.values", "dlops.trial.scores"
_STRETCH, _AFTER = "dlops.trial.stretch", "dlops.trial.after"
_STATUS, _SECONDS, _ERROR = "dlops.trial.status", "dlops.trial.seconds", "dlops.error"
_ENDS = {"finished": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}
"""How MLflow calls it; all else has failed."""
_OF_NO_SCORE = frozenset(
    {
        "accelerator",
        "devices",
        "nodes",
        "precision",
        "micro_tokens",
        "stall_seconds",
        "checkpoint_seconds",
        "intended_use",
    }
)
"""Parameters that decide of no score, but by rounding."""
_ORIGIN = frozenset({"mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit"})
"""Tags that a search's run and its trials' have in common."""
_WEIGHTS_FROM, _WEIGHTS_TAG = "weights_from", "dlops.trial.weights_from"
_PAGE = 1000
_LONGEST_PARAM = 6000


class Children:
    """The trials' runs of one search."""

    def __init__(self, parent: str, fixed: Mapping[str, str], *, kind: str = "trial") -> None:
        """Take the search's run, and the parameters that every trial has where its own values say nothing else.

        `kind` names what of a search these are: one search has trials of several kinds.
        """
        self.kind, self._number = kind, f"dlops.{kind}"
        self._client = MlflowClient()
        self._parent, self._fixed = parent, dict(fixed)
        run = self._client.get_run(parent)
        self._experiment = str(run.info.experiment_id)
        self._origin = {name: text for name, text in run.data.tags.items() if name in _ORIGIN}
        self.search = parent
        """The search's first run: those that resume it belong to the same search."""
        self.seconds = 0.0
        """That the search took before, in all its parts."""
        self._experiments = [self._experiment]
        self._client.set_tag(parent, SEARCH, parent)

    def resume(self, run_id: str) -> list[Trial]:
        """Belong to the search of another run, and give its trials in order; those that were open are interrupted.

        Raises:
            StepFailed: they were of other data or settings, so that their scores say nothing here.
        """
        before = self._client.get_run(run_id)
        self.search = before.data.tags.get(SEARCH, run_id)
        self._experiments = list({*self._experiments, str(before.info.experiment_id)})
        self._client.set_tag(self._parent, SEARCH, self.search)
        found: dict[int, Trial] = {}
        spans: dict[str, list[int]] = {}
        for run in self._runs():
            ends = (run.info.start_time, run.info.end_time or run.info.start_time)
            spans.setdefault(run.data.tags.get("mlflow.parentRunId", ""), []).extend(ends)
            self._check(run)
            trial = self._read(run)
            known = found.get(trial.number)
            if known is None or not known.is_over:  # the later one goes on where the earlier was interrupted
                found[trial.number] = trial
        self.seconds = sum(max(times) - min(times) for times in spans.values()) / 1000
        return [found[number] for number in sorted(found)]

    def _check(self, run: Any) -> None:
        """Refuse a trial that had other settings beside the searched ones."""
        before, own = run.data.params, {*json.loads(run.data.tags[_VALUES])}
        own |= {_WEIGHTS_FROM} if _AFTER in run.data.tags else set()
        if not before:  # it was killed before it had any
            return
        told = [
            f"{name} was {before.get(name, '')}, is {text}"
            for name, text in self._fixed.items()
            if name not in own and name not in _OF_NO_SCORE and before.get(name, "") != masking.url(text)
        ]
        if told:
            raise StepFailed(
                f"The search that is to go on was another: {'; '.join(told)}.",
                hint="Resume with what it was launched with, or launch a new one.",
            )

    def begin(self, trial: Trial) -> None:
        """Make a trial's run, with its parameters."""
        now = int(time.time() * 1000)
        tags = {
            **self._origin,
            "mlflow.parentRunId": self._parent,
            "dlops.resumed_from": trial.resumed_from,
            SEARCH: self.search,
            self._number: str(trial.number),
            _VALUES: json.dumps(trial.values),
            _STRETCH: str(trial.stretch or ""),
            _WEIGHTS_TAG: trial.weights_from,
            _AFTER: "" if trial.after is None else str(trial.after),
        }
        run = self._client.create_run(
            self._experiment,
            start_time=now,
            run_name=f"{self.kind}-{trial.number}",
            tags={key: value for key, value in tags.items() if value},
        )
        trial.run_id = run.info.run_id
        values = {**self._fixed, **trial.parameters}
        self._client.log_batch(
            trial.run_id,
            params=[Param(key, masking.url(value)[:_LONGEST_PARAM]) for key, value in values.items() if value],
            synchronous=True,
        )

    def end(self, trial: Trial) -> None:
        """Say how a trial went, and end its run."""
        tags = {
            _STATUS: trial.status,
            _SECONDS: f"{trial.seconds:.3f}",
            _SCORES: json.dumps(trial.scores)[:LONGEST_TAG],
            _ERROR: trial.error[:LONGEST_TAG],
        }
        now = int(time.time() * 1000)
        metrics = [Metric("score", trial.score, now, trial.best_epoch)] if trial.scores else []
        self._client.log_batch(
            trial.run_id,
            metrics=metrics,
            tags=[RunTag(key, value) for key, value in tags.items() if value],
            synchronous=True,
        )
        self._client.set_terminated(trial.run_id, _ENDS.get(trial.status, "FAILED"))

    def forget(self, trial: Trial) -> None:
        """Remove the weights and checkpoints that a trial kept; a store that keeps everything does no harm."""
        with contextlib.suppress(Exception):  # each kind of store has errors of its own
            repository = get_artifact_repository(self._client.get_run(trial.run_id).info.artifact_uri)
            for file in repository.list_artifacts():
                if file.path in (kept_weights.FILE, FOLDER):
                    repository.delete_artifacts(file.path)

    def _runs(self) -> list[Any]:
        """List the runs of this search's trials, the oldest first."""
        which, order = (
            f"tags.`{SEARCH}` = '{self.search}' AND tags.`{self._number}` != ''",
            ["attributes.start_time ASC"],
        )
        found: list[Any] = []
        page = ""
        while True:
            part = self._client.search_runs(self._experiments, which, 1, _PAGE, order, page or None)
            found += part
            page = part.token
            if not page:
                return found

    def _read(self, run: Any) -> Trial:
        """Read a trial; one that did not say how it went was interrupted."""
        tags = run.data.tags
        trial = Trial(
            number=int(tags[self._number]),
            values=json.loads(tags[_VALUES]),
            run_id=run.info.run_id,
            status=tags.get(_STATUS, "interrupted"),
            scores=json.loads(tags.get(_SCORES, "[]")),
            seconds=float(tags.get(_SECONDS, "0")),
            error=tags.get(_ERROR, ""),
            stretch=int(tags.get(_STRETCH, "0")),
            after=int(tags[_AFTER]) if _AFTER in tags else None,
            weights_from=tags.get(_WEIGHTS_TAG, ""),
        )
        return trial if trial.is_over else replace(trial, status="interrupted", scores=[], seconds=0.0, error="")
