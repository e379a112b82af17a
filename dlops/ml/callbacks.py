"""What happens around the epochs: metrics to MLflow, progress, a line of the story, the best weights kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pytorch_lightning as pl
import torch

from dlops.ml import record
from dlops.ml.batches import Batch
from dlops.ml.classifier import Classifier
from dlops.ml.progress import Progress, say
from dlops.ml.strategies import Strategy


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass over the training rows; those of the val rows are there if there are val rows."""

    number: int
    """Counted from 1."""
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


class Story(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Tells, logs and keeps the figures of every epoch."""

    def __init__(self, epochs: int, batches: int) -> None:
        self.epochs: list[Epoch] = []
        self._count = epochs
        self._batches = batches
        self._progress = Progress(epochs * batches, "batches")
        self._started = 0.0
        self._stepped = False

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": [asdict(epoch) for epoch in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = [Epoch(**epoch) for epoch in state_dict["epochs"]]

    def on_train_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        self.on_train_epoch_start(trainer, module)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        del trainer, module
        self._started = time.monotonic()

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
        metrics = {"train_loss": module.train_loss}
        if module.result is not None:
            metrics |= module.result.metrics("val")
        epoch = Epoch(trainer.current_epoch + 1, time.monotonic() - self._started, metrics)
        self.epochs.append(epoch)
        record.metrics({**metrics, "epoch_seconds": epoch.seconds}, step=epoch.number)
        figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        say(f"Epoch {epoch.number}/{self._count}: {figures} ({epoch.seconds:.0f} s)")

    def _tell_first_step(self) -> None:
        """Log how long the run took until the optimizer had made its first step: imports, data, model and all."""
        if run := mlflow.active_run():
            record.metrics({"first_step_seconds": time.time() - run.info.start_time / 1000})


class BestWeights(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Keeps the weights of the best epoch: the highest score on the val rows, then the lowest loss."""

    def __init__(self) -> None:
        self.epoch = 0
        """Counted from 1; 0 as long as no epoch was judged."""
        self._score = (-math.inf, 0.0)
        self._weights: dict[str, torch.Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "score": list(self._score), "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch, self._weights = state_dict["epoch"], state_dict["weights"]
        self._score = (state_dict["score"][0], state_dict["score"][1])

    def on_validation_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        if module.result is None or trainer.state.fn != "fit":
            return
        score = (module.result.score, -module.result.loss)
        if score > self._score:
            self._score, self.epoch = score, trainer.current_epoch + 1
            self._weights = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}

    def on_train_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Take the best weights back, if the last ones are not the best."""
        if self.epoch and self.epoch != trainer.current_epoch:
            module.load_state_dict(self._weights)
        self._weights.clear()


class Checkpoints(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Writes a checkpoint at the end of each epoch, and within it when the last one is some time ago."""

    def __init__(self, folder: Path, seconds: float, keep: Callable[[Path], None]) -> None:
        self._folder, self._seconds, self._keep = folder, seconds, keep
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Classifier, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        del module, outputs, batch
        due = time.monotonic() - self._last >= self._seconds
        if due and batch_idx + 1 < trainer.num_training_batches:  # the end of an epoch has a checkpoint of its own
            self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Runs after what the other callbacks note of the epoch, if this is the last of them."""
        del module
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        file = self._folder / f"{trainer.global_step:08d}.safetensors"
        trainer.save_checkpoint(file)
        self._keep(file)
        self._last = time.monotonic()


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

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        del module
        if self._best.epoch and trainer.current_epoch + 1 - self._best.epoch >= self._patience:
            say(f"No epoch was better than epoch {self._best.epoch} for {self._patience}: the training ends.")
            trainer.should_stop = True
