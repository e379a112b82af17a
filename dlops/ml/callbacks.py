"""What happens around the epochs: metrics to MLflow, progress, a line of the story, the best weights kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import mlflow
import pytorch_lightning as pl
import torch

from dlops.errors import StepFailed
from dlops.ml import record
from dlops.ml.batches import Batch
from dlops.ml.classifier import Classifier
from dlops.ml.progress import Progress, say
from dlops.ml.strategies import Strategy

Writing: TypeAlias = Callable[[str], AbstractContextManager[Path]]
"""Gives the file that a checkpoint of this name is written to, and takes care of it once it is written."""

FINISHED = "finished"
"""Name of the checkpoint at the end; those within the training are named by their steps, and sort before it."""

_REST = 20
"""Times as long as the last checkpoint took, at least, pass before the next: they cost five percent at most."""


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass over the training rows; those of the val rows are there if there are val rows."""

    number: int
    """Counted from 1."""
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


class Story(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Tells, logs and keeps the figures of every epoch."""

    def __init__(self, epochs: int, batches: int, prefix: str = "") -> None:
        """Take how many there are, and what the names of the metrics begin with."""
        self.epochs: list[Epoch] = []
        self._prefix = prefix
        self._count = epochs
        self._batches = batches
        self._progress = Progress(epochs * batches, "batches")
        self._stepped = False
        self.seconds_before = self._epoch_before = 0.0
        """Of the training, and of the epoch, before an interruption."""
        self._began = self._epoch_began = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "seconds": self.seconds_before + now - self._began,
            "epoch_seconds": self._epoch_before + now - self._epoch_began,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = [Epoch(**epoch) for epoch in state_dict["epochs"]]
        self.seconds_before, self._epoch_before = state_dict["seconds"], state_dict["epoch_seconds"]

    def on_train_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        del trainer, module
        self.retell()
        self._began = self._epoch_began = time.monotonic()

    def retell(self) -> None:
        """Log what went before an interruption, so that the curves of this run are whole."""
        for epoch in self.epochs:
            self._log(epoch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Classifier, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        del outputs, batch
        if not self._stepped:
            self._stepped = True
            self._tell_first_step()
        done = trainer.current_epoch * self._batches + batch_idx + 1
        self._progress.update(done, f"epoch {trainer.current_epoch + 1}/{self._count}, loss {module.train_loss:.3f}")

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Runs after the validation of the same epoch."""
        metrics = {"train_loss": module.epoch_loss()}
        if module.result is not None:
            metrics |= module.result.metrics("val")
        now = time.monotonic()
        epoch = Epoch(trainer.current_epoch + 1, self._epoch_before + now - self._epoch_began, metrics)
        self._epoch_before, self._epoch_began = 0.0, now
        self.epochs.append(epoch)
        self._log(epoch)
        figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        say(f"Epoch {epoch.number}/{self._count}: {figures} ({epoch.seconds:.0f} s)")

    def _log(self, epoch: Epoch) -> None:
        found = {**epoch.metrics, "epoch_seconds": epoch.seconds}
        record.metrics({f"{self._prefix}{name}": value for name, value in found.items()}, step=epoch.number)

    def _tell_first_step(self) -> None:
        """Log how long the run took until the optimizer had made its first step: imports, data, model and all."""
        run = mlflow.active_run()
        if run and run.info.run_id == record.run_id():
            record.metrics({"first_step_seconds": time.time() - run.info.start_time / 1000})


class BestWeights(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Keeps the weights of the best epoch: the highest score on the val rows, then the lowest loss."""

    def __init__(self, *, partial: bool = False) -> None:
        """Take whether what is not trained in one epoch is not in any, and need not be kept."""
        self._partial = partial
        self.epoch = 0
        """Counted from 1; 0 as long as no epoch was judged."""
        self.score = (-math.inf, 0.0)
        """Of that epoch: the score, and minus the loss."""
        self._weights: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "score": list(self.score), "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch, self._weights = state_dict["epoch"], state_dict["weights"]
        self.score = (state_dict["score"][0], state_dict["score"][1])

    def on_validation_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        if module.result is None or trainer.state.fn != "fit":
            return
        score = (module.result.score, -module.result.loss)
        if score > self.score:
            self.score, self.epoch = score, trainer.current_epoch + 1
            still = {name for name, one in module.named_parameters() if self._partial and not one.requires_grad}
            self._weights = {
                name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items() if name not in still
            }

    def on_train_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Take the best weights back, if the last ones are not the best."""
        if self.epoch and self.epoch != trainer.current_epoch:
            module.load_state_dict(self._weights, strict=False)
        self._weights.clear()


class Checkpoints(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Writes a checkpoint when the last one is some time ago, so that an interruption costs no more than that."""

    def __init__(
        self, writing: Writing, seconds: float, identity: Mapping[str, str], *, finished: bool = False
    ) -> None:
        """Take where each is written, the seconds between two, and what the training is about.

        With `finished` the end of the training has one in any case: another training comes after it.
        """
        self._writing, self._seconds, self._identity, self._finished = writing, seconds, dict(identity), finished
        self._ended, self._last, self._cost = False, time.monotonic(), 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"identity": self._identity, "ended": self._ended}

    def has_ended(self, checkpoint: Mapping[str, Any]) -> bool:
        """Tell whether a checkpoint is of the end of its training."""
        return bool(checkpoint["callbacks"][self.state_key]["ended"])

    def check(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse a checkpoint of another training.

        Raises:
            StepFailed: it is of other data or settings; the message names them.
        """
        made = checkpoint["callbacks"][self.state_key]["identity"]
        names = sorted(name for name in {*made, *self._identity} if made.get(name) != self._identity.get(name))
        if names:
            told = "; ".join(f"{name} was {made.get(name)}, is {self._identity.get(name)}" for name in names)
            raise StepFailed(
                f"The checkpoint is of another training: {told}.",
                hint="Resume with what the run was launched with, its version of the data too: dataset=TABLE@VERSION.",
            )

    def on_train_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        del trainer, module
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Classifier, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        del module, outputs, batch
        if batch_idx + 1 < trainer.num_training_batches:  # the end of the epoch comes after it, with more to keep
            self._write_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Runs after what the other callbacks note of the epoch, if this is the last of them."""
        del module
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            self._write_if_due(trainer)

    def on_train_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Runs when the best weights are back, if this is the last of the callbacks."""
        del module
        if self._finished or self._is_due(trainer):
            self._ended = True
            self._write(trainer, FINISHED)

    def _write_if_due(self, trainer: pl.Trainer) -> None:
        if self._is_due(trainer):
            self._write(trainer, f"{trainer.global_step:08d}")

    def _is_due(self, trainer: pl.Trainer) -> bool:
        """Tell whether one is, unless that were to take more than a small share of the time; without seconds always."""
        rest = max(self._seconds, _REST * self._cost) if self._seconds else 0.0
        due = time.monotonic() - self._last >= rest
        return bool(trainer.strategy.reduce_boolean_decision(due, all=False))

    def _write(self, trainer: pl.Trainer, name: str) -> None:
        began = time.monotonic()
        with self._writing(name) as file:
            trainer.save_checkpoint(file)
        self._last = time.monotonic()
        self._cost = self._last - began


class Stages(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Lets the strategy choose what is trained in each epoch."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def on_train_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Where the training goes on within an epoch, Lightning leaves its start out."""
        self.on_train_epoch_start(trainer, module)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        self._strategy.stage(module.network, trainer.current_epoch)


class EarlyEnd(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Ends the training when the best epoch was so many epochs ago."""

    def __init__(self, best: BestWeights, patience: int) -> None:
        self._best, self._patience = best, patience

    def on_train_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        """The training may go on from the very epoch after which it ended."""
        del module
        self._look(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        del module
        self._look(trainer, trainer.current_epoch + 1)

    def _look(self, trainer: pl.Trainer, done: int) -> None:
        if self._best.epoch and done - self._best.epoch >= self._patience:
            say(f"No epoch was better than epoch {self._best.epoch} for {self._patience}: the training ends.")
            trainer.should_stop = True
