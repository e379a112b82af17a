"""Training and testing with Lightning: the loop is Lightning's, the talk is ours."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.profilers import PassThroughProfiler
from torch.utils.data import DataLoader

from dlops.ml import checkpoints
from dlops.ml.callbacks import BestWeights, Checkpoints, EarlyEnd, Epoch, Stages, Story
from dlops.ml.classifier import Classifier, Optimization
from dlops.ml.evaluation import Evaluation
from dlops.ml.hardware import Arithmetic, Devices
from dlops.ml.networks import Network
from dlops.ml.strategies import Strategy
from dlops.ml.targets import Target

ALONE = Devices()


@dataclass(frozen=True)
class Loaders:
    """Batches of the three splits; `val` is `None` if there are no val rows."""

    train: DataLoader[Any]
    val: DataLoader[Any] | None
    test: DataLoader[Any]


@dataclass(frozen=True)
class Fitted:
    """What came of a training, untested."""

    epochs: list[Epoch]
    best_epoch: int
    """The epoch whose weights were kept, counted from 1."""
    score: tuple[float, float]
    """Of that epoch on the val rows, the higher the better; minus infinity if there are none."""
    seconds: float
    """Wall time of the training, without the test, with that before an interruption."""


@dataclass(frozen=True)
class Trained(Fitted):
    """What came of a training, and how good that is."""

    test: Evaluation
    val: Evaluation | None = None
    """With the weights that were kept; `None` if there are no val rows."""


class How(TypedDict, total=False):
    """How `train` and `fit` do it; `_fitted` has the defaults."""

    epochs: Required[int]
    arithmetic: Required[Arithmetic]
    kept: Checkpoints | None
    """Writes checkpoints."""
    devices: Devices
    patience: int
    """Epochs in a row that were no better, after which the training ends; 0 for never."""
    resumed: Path | None
    """Checkpoint from which the training goes on as if it had not been interrupted."""
    prefix: str
    """What the names begin with under which the metrics of the epochs are logged."""
    more: Sequence[pl.Callback]
    """Callbacks of the user's."""


def train(module: Classifier, strategy: Strategy, loaders: Loaders, **how: Unpack[How]) -> Trained:
    """Train for some epochs, keep the weights of the best one on the val rows (else the last), and test them.

    Raises:
        StepFailed: the loss is no finite number; a checkpoint cannot be written or read, or is of another training.
    """
    with _quiet():
        fitted, trainer = _fitted(module, strategy, loaders, **how)
        val = None
        if loaders.val:
            trainer.validate(module, loaders.val, verbose=False)
            val = module.result
        trainer.test(module, loaders.test, verbose=False)
    if module.result is None:
        raise RuntimeError("the test of the model gave no figures")
    return Trained(fitted.epochs, fitted.best_epoch, fitted.score, fitted.seconds, module.result, val)


def fit(module: Classifier, strategy: Strategy, loaders: Loaders, **how: Unpack[How]) -> Fitted:
    """Train as `train` does, and test nothing.

    Raises:
        StepFailed: as `train` does.
    """
    with _quiet():
        return _fitted(module, strategy, loaders, **how)[0]


def _fitted(
    module: Classifier,
    strategy: Strategy,
    loaders: Loaders,
    *,
    epochs: int,
    arithmetic: Arithmetic,
    kept: Checkpoints | None = None,
    devices: Devices = ALONE,
    patience: int = 0,
    resumed: Path | None = None,
    prefix: str = "",
    more: Sequence[pl.Callback] = (),
) -> tuple[Fitted, pl.Trainer]:
    story, best = Story(epochs, len(loaders.train), prefix), BestWeights(partial=not strategy.changes)
    callbacks = [Stages(strategy), best, story, *([EarlyEnd(best, patience)] if patience else []), *more]
    callbacks += [kept] if kept else []  # the last: it keeps what the others have noted
    state = checkpoints.read(resumed) if resumed else {}
    trainer = _trainer(arithmetic, devices, epochs, callbacks)
    started = time.monotonic()
    if state and kept:
        kept.check(state)
    if state and kept and kept.has_ended(state):
        module.load_state_dict(state["state_dict"])
        for callback in callbacks:
            if callback.state_key in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][callback.state_key])
        story.retell()
    else:
        _go_on(loaders.train, state)
        trainer.fit(module, loaders.train, loaders.val, ckpt_path=resumed)
    seconds = story.seconds_before + time.monotonic() - started
    return Fitted(story.epochs, best.epoch or len(story.epochs), best.score, seconds), trainer


def judge(network: Network, target: Target, loader: DataLoader[Any], arithmetic: Arithmetic) -> Evaluation:
    """Judge a network as it is."""
    module = Classifier(network, target, Optimization(learning_rate=0.0, head_learning_rate=0.0))
    with _quiet():
        _trainer(arithmetic, ALONE, 1, []).test(module, loader, verbose=False)
    if module.result is None:
        raise RuntimeError("the test of the model gave no figures")
    return module.result


def _go_on(loader: DataLoader[Any], state: Mapping[str, Any]) -> None:
    """Let the loader begin with the batch that comes after those of a checkpoint, if there is one."""
    if not state:
        return
    progress = state["loops"]["fit_loop"]
    sampler: Any = loader.batch_sampler
    done = progress["epoch_loop.batch_progress"]["current"]["processed"]
    epoch = progress["epoch_progress"]["current"]["processed"]
    sampler.set_epoch(epoch)
    sampler.skip = done if progress["epoch_progress"]["current"]["ready"] > epoch else 0


def seed(value: int) -> None:
    """Seed every generator, so that on a CPU the same settings give the same weights."""
    with _quiet():
        pl.seed_everything(value, verbose=False)


def _trainer(arithmetic: Arithmetic, devices: Devices, epochs: int, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        accelerator=arithmetic.accelerator,
        devices=devices.count,
        num_nodes=devices.nodes,
        strategy="ddp_find_unused_parameters_true" if devices.total > 1 else "auto",
        precision=arithmetic.lightning,
        max_epochs=epochs,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        profiler=_Unmeasured(),
        plugins=[checkpoints.Safetensors(), LightningEnvironment()],  # SLURM's would write checkpoints of its own
    )


class _Unmeasured(PassThroughProfiler):  # type: ignore[misc]  # Lightning has no types for us
    """Measures nothing, at no cost: Lightning asks forty times a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> Any:
        """Give nothing."""
        del action_name
        return self._nothing


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's chatter away: its tips, its table of devices, its advice on loader processes."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        yield
