"""What a search tries: one fine-tuning a trial. What trials have in common is read, tokenized and computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import pytorch_lightning as pl
import torch

from dlops.errors import StepFailed
from dlops.ml import (
    backbones,
    combinations,
    datasets,
    fine_tuning,
    hardware,
    kept_weights,
    progress,
    record,
    targets,
    training,
)
from dlops.ml.backbones import Location
from dlops.ml.classifier import Classifier
from dlops.ml.datasets import Dataset
from dlops.ml.fine_tuning import Prepared
from dlops.ml.hardware import Arithmetic
from dlops.ml.networks import Network
from dlops.ml.search import asked
from dlops.ml.search.search import Report
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Finetune, Tune
from dlops.ml.targets import Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Value = TypeVar("Value")


def settings_of(tune: Tune, values: Mapping[str, str]) -> Finetune:
    """Give the settings by which `finetune` would do what a trial does: on one device, for others are other trials'."""
    every = asked.of_a_trial(tune)
    given = {field.name: getattr(every, field.name) for field in fields(Finetune)}
    tried = {name: asked.KNOWN[name].value(text) for name, text in values.items()}
    return Finetune(**{**given, **tried, "resume_from": None, "devices": 1, "nodes": 1})


@dataclass(frozen=True)
class Ready:
    """A network with a fresh head, and what it is trained on."""

    settings: Finetune
    location: Location
    dataset: Dataset
    target: Target
    network: Network
    tokenizer: PreTrainedTokenizerBase
    prepared: Prepared
    arithmetic: Arithmetic


class Training:
    """The objective of `tune`: trains as `finetune` would, and scores each epoch on the val rows."""

    def __init__(self, settings: Tune, dataset: Dataset | None = None) -> None:
        """Take what does not depend on the trial from the settings; nothing is read yet but for the `dataset`."""
        self._tune = settings
        self._kept: dict[str, tuple[Hashable, Any]] = {}
        if dataset:
            self._kept["dataset"] = ((settings.dataset,), dataset)

    def __call__(self, trial: Trial, report: Report, keeps: Callable[[float], bool]) -> None:
        """Train within the trial's run.

        Raises:
            UsageError: the values do not go together.
            StepFailed: the training failed.
        """
        with record.within(trial.run_id):
            ready = self.ready(settings_of(self._tune, trial.parameters))
            settings = replace(ready.settings, resume_from=trial.resumed_from or None)
            reports = _Reports(report)
            with progress.muted():
                fine_tuning.attempt(
                    ready.network, ready.prepared, ready.target, settings, ready.arithmetic, more=[reports]
                )
            if not reports.was_ended and keeps(trial.score):
                kept_weights.keep(ready.network, ready.target.names, head=settings.strategy == "freeze")

    def ready(self, settings: Finetune) -> Ready:
        """Have everything for one training: what an earlier one had too is not made again.

        Raises:
            UsageError: the settings do not go together.
            StepFailed: there is no such model, or it cannot be trained so.
        """
        combinations.check(settings)
        settings = replace(settings, head=fine_tuning.head(settings))
        arithmetic = self._once("arithmetic", (settings.precision, settings.accelerator), hardware.arithmetic)
        dataset = self._once("dataset", (settings.dataset,), datasets.open)
        if not dataset.val.texts:
            raise StepFailed(
                f"{dataset.reference} has no val rows, by which trials are compared.",
                hint="Ingest it with a share of them: splits=0.7,0.1,0.2.",
            )
        location = self._once(
            "location",
            (settings.model, settings.trust_remote_code, settings.allow_pickle),
            lambda name, code, pickles: backbones.locate(name, trust_remote_code=code, allow_pickle=pickles),
        )
        balanced = settings.class_weights == "balanced"
        target = targets.of(dataset.kind, dataset.labels, dataset.train.labels, balanced=balanced)
        network, tokenizer = self._network(settings, location, target, arithmetic)
        about = (
            *(settings.dataset, location, settings.max_length, settings.micro_tokens, settings.class_weights),
            arithmetic,
        )
        micro = fine_tuning.micro_tokens(settings, arithmetic, network)
        rows = self._once("rows", about, lambda *_: fine_tuning.rows(dataset, tokenizer, target, settings, micro))
        prepared = self._once(
            "prepared",
            (*about, settings.head, settings.strategy == "freeze"),
            lambda *_: fine_tuning.prepare(network, rows, settings, arithmetic),
        )
        return Ready(settings, location, dataset, target, network, tokenizer, prepared, arithmetic)

    def _network(
        self, settings: Finetune, location: Location, target: Target, arithmetic: Arithmetic
    ) -> tuple[Network, PreTrainedTokenizerBase]:
        """Give a network as it is before any training; where its layers are frozen, the same one with a first head."""

        def load(*_: object) -> tuple[Network, PreTrainedTokenizerBase, dict[str, torch.Tensor]]:
            training.seed(settings.seed)
            network, tokenizer = backbones.load(location, target, head=settings.head, arithmetic=arithmetic)
            fresh = network.state_dict()
            return network, tokenizer, {name: fresh[name].clone() for name in fresh if network.is_head(name)}

        if settings.strategy != "freeze":
            self._kept.pop("network", None)
            network, tokenizer, _ = load()
            return network, tokenizer
        about = (location, settings.dataset, settings.head, settings.seed, settings.class_weights, arithmetic)
        network, tokenizer, head = self._once("network", about, load)
        network.load_state_dict(head, strict=False)
        return network, tokenizer

    def _once(self, what: str, about: tuple[Any, ...], make: Callable[..., Value]) -> Value:
        """Give what is made of `about`: the last of its kind, if it was made of the same."""
        if what not in self._kept or self._kept[what][0] != about:
            self._kept.pop(what, None)  # its memory is needed
            self._kept[what] = (about, make(*about))
        found: Value = self._kept[what][1]
        return found


class _Reports(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Reports the score of each epoch, and ends the training when it is told to."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._scores: list[float] = []
        self.was_ended = False

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self._scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for score in state_dict["scores"]:
            self._scores.append(score)
            self._report(score, last=True)  # the training went on then

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Runs after the validation of the same epoch."""
        if module.result is None:
            return
        score = module.result.score
        if not math.isfinite(score):
            raise StepFailed(f"The score of epoch {trainer.current_epoch + 1} is {score}.")
        self._scores.append(score)
        last = trainer.should_stop or trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        if not self._report(score, last=last):
            self.was_ended = trainer.should_stop = True
