"""Training and testing with Lightning: the loop is Lightning's, the talk is ours."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from dlops.ml import checkpoints
from dlops.ml.callbacks import BestWeights, Checkpoints, EarlyEnd, Epoch, Stages, Story
from dlops.ml.classifier import Classifier
from dlops.ml.evaluation import Evaluation
from dlops.ml.hardware import Arithmetic
from dlops.ml.strategies import Strategy


@dataclass(frozen=True)
class Loaders:
    """Batches of the three splits; `val` is `None` if there are no val rows."""

    train: DataLoader[Any]
    val: DataLoader[Any] | None
    test: DataLoader[Any]


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    epochs: list[Epoch]
    best_epoch: int
    """The epoch whose weights were kept, counted from 1."""
    seconds: float
    """Wall time of the training, without the test."""
    test: Evaluation


def train(
    module: Classifier,
    strategy: Strategy,
    loaders: Loaders,
    *,
    epochs: int,
    arithmetic: Arithmetic,
    patience: int = 0,
    kept: Checkpoints | None = None,
    resumed: Path | None = None,
) -> Trained:
    """Train for `epochs`, keep the weights of the best epoch on the val rows (else the last), and test them.

    With `patience` the training ends after so many epochs in a row that were no better. `kept` writes checkpoints;
    `resumed` is one of them, from which the training goes on as if it had not been interrupted.

    Raises:
        StepFailed: the loss is no finite number, or a checkpoint cannot be written or read.
    """
    story, best = Story(epochs, len(loaders.train)), BestWeights()
    callbacks = [Stages(strategy), best, story, *([EarlyEnd(best, patience)] if patience else [])]
    callbacks += [kept] if kept else []  # the last: it keeps what the others have noted
    if resumed:
        _go_on(loaders.train, resumed)
    with _quiet():
        trainer = _trainer(arithmetic, epochs, callbacks)
        started = time.monotonic()
        trainer.fit(module, loaders.train, loaders.val, ckpt_path=resumed)
        seconds = time.monotonic() - started
        trainer.test(module, loaders.test, verbose=False)
    if module.result is None:
        raise RuntimeError("the test of the model gave no figures")
    return Trained(story.epochs, best.epoch or len(story.epochs), seconds, module.result)


def _go_on(loader: DataLoader[Any], checkpoint: Path) -> None:
    """Let the loader begin with the batch that comes after those of a checkpoint."""
    progress = checkpoints.read(checkpoint)["loops"]["fit_loop"]
    sampler: Any = loader.batch_sampler
    done = progress["epoch_loop.batch_progress"]["current"]["processed"]
    epoch = progress["epoch_progress"]["current"]["processed"]
    sampler.set_epoch(epoch)
    sampler.skip = done if progress["epoch_progress"]["current"]["ready"] > epoch else 0


def seed(value: int) -> None:
    """Seed every generator, so that on a CPU the same settings give the same weights."""
    with _quiet():
        pl.seed_everything(value, verbose=False)


def _trainer(arithmetic: Arithmetic, epochs: int, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        accelerator=arithmetic.accelerator,
        devices=1,
        precision=arithmetic.lightning,
        max_epochs=epochs,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        plugins=[checkpoints.Safetensors()],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's chatter away: its tips, its table of devices, its advice on loader processes."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        yield
