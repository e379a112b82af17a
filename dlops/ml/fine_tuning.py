"""One fine-tuning as the settings say: rows become tokens, a strategy meets a network, which is trained and tested."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytorch_lightning as pl

from dlops.ml import (
    batches,
    cache,
    checkpoint_artifacts,
    features,
    hardware,
    kept_weights,
    memory,
    strategies,
    tokens,
    training,
    user_callbacks,
)
from dlops.ml.batches import FeatureRows, RandomBatches, TokenRows
from dlops.ml.callbacks import Checkpoints
from dlops.ml.classifier import Classifier, Optimization
from dlops.ml.datasets import Dataset, Split
from dlops.ml.features import Kind, Rows
from dlops.ml.hardware import Arithmetic, Devices
from dlops.ml.networks import Averaging, Network
from dlops.ml.progress import say
from dlops.ml.settings import Finetune
from dlops.ml.stalls import Stalls
from dlops.ml.strategies import Strategy
from dlops.ml.targets import Number, Target
from dlops.ml.training import Fitted, Loaders, Trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ended = TypeVar("Ended", bound=Fitted)

_FORM = "3"
"""Raised where a training keeps other things, or groups its weights in another way."""
_SHAPES = (
    *("strategy", "head", "epochs", "unfreeze", "unfreeze_layers", "lora_rank", "learning_rate"),
    *("head_learning_rate", "schedule", "warm_up", "weight_decay", "clip", "batch_size", "batch_tokens"),
    *("class_weights", "early_stopping", "objective", "mask_share", "weights_from"),
)
"""Settings that decide which weights come of a training, where the tokens are the same."""


@dataclass(frozen=True)
class Prepared:
    """Rows, and what pretrained layers are and give for them."""

    weights: str
    """Fingerprint of the pretrained layers."""
    rows: Rows[TokenRows]
    features: Rows[FeatureRows] | None
    """What the layers give, where they are frozen."""


def head(settings: Finetune) -> Literal["standard", "mean", "all_layers"]:
    """Give the head that `auto` stands for."""
    if settings.head != "auto":
        return settings.head
    return "all_layers" if settings.strategy == "freeze" else "standard"


def rows(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, target: Target, settings: Finetune, micro: int | None
) -> Rows[TokenRows]:
    """Tokenize the three splits; `micro` is the size of a micro-batch in padded tokens, `None` for a whole batch."""

    def tokenized(split: Split) -> TokenRows:
        found = tokens.encode(tokenizer, split.texts, split.pairs, settings.max_length)
        return TokenRows(found, target.encode(split.labels))

    train = tokenized(dataset.train)
    tell_cut(train, tokenizer, settings)
    return Rows(
        train=train,
        val=tokenized(dataset.val) if dataset.val.texts else None,
        test=tokenized(dataset.test),
        collate=batches.Collator(tokenizer.pad_token_id or 0, micro),
    )


def tell_cut(train: TokenRows, tokenizer: PreTrainedTokenizerBase, settings: Finetune) -> None:
    """Say how many texts are longer than what is read of them, and where the model takes less than was asked for."""
    limit = tokens.limit(tokenizer, settings.max_length)
    if limit < settings.max_length:
        say(f"Note: max_length={settings.max_length}, but this model takes {limit} tokens.")
    if full := sum(length >= limit for length in train.lengths):
        share = f"{100 * full / len(train):.0f} %" if full * 200 >= len(train) else "Less than 1 %"
        say(f"{share} of the train rows fill all {limit} tokens that are read; what is beyond them is cut off.")


def fit(
    network: Network,
    prepared: Prepared,
    target: Target,
    settings: Finetune,
    seed: int,
    arithmetic: Arithmetic,
) -> Trained:
    """Train on tokens, or with `freeze` the head alone on features that were computed once; test what came of it.

    The network is changed, and is in the shape that is saved. It goes on where `resume_from` was interrupted.

    Raises:
        StepFailed: the loss is no finite number, memory is exhausted, or checkpoints or the weights of `weights_from`
            cannot be written or read.
    """
    trained = _fit(training.train, network, prepared, target, settings, seed, arithmetic)
    in_its_own_units(network, target)
    return trained


def in_its_own_units(network: Network, target: Target) -> None:
    """Let a network whose training is over, and was judged, answer in the units of the target."""
    if isinstance(target, Number):
        target.in_its_own_units(network.last)


def attempt(
    network: Network,
    prepared: Prepared,
    target: Target,
    settings: Finetune,
    arithmetic: Arithmetic,
    more: Sequence[pl.Callback],
) -> Fitted:
    """Train as `fit` does, test nothing, and leave a number in units of its deviation; `more` are callbacks.

    Raises:
        StepFailed: as `fit` does.
    """
    return _fit(training.fit, network, prepared, target, settings, settings.seed, arithmetic, more)


def prepare(network: Network, rows: Rows[TokenRows], settings: Finetune, arithmetic: Arithmetic) -> Prepared:
    """Give what every training of the network's pretrained layers on these rows needs, whatever its head.

    Raises:
        StepFailed: with `freeze`, the network's head reads something else than features.
    """
    memory.keep()
    weights = features.fingerprint(network)
    frozen = settings.strategy == "freeze"
    return Prepared(weights, rows, features.of(network, weights, rows, arithmetic) if frozen else None)


def suiting(prepared: Prepared, arithmetic: Arithmetic) -> AbstractContextManager[Arithmetic]:
    """Give the arithmetic for what was prepared: features have a head alone."""
    return hardware.for_heads(arithmetic) if prepared.features else nullcontext(arithmetic)


def with_val_rows(prepared: Prepared) -> Prepared:
    """Give the train and val rows together as train rows; there are no val rows then."""

    def joined(rows: Rows[Any]) -> Rows[Any]:
        return replace(rows, train=rows.train + rows.val, val=None) if rows.val else rows

    features = joined(prepared.features) if prepared.features else None
    return replace(prepared, rows=joined(prepared.rows), features=features)


def _fit(
    how: Callable[..., Ended],
    network: Network,
    prepared: Prepared,
    target: Target,
    settings: Finetune,
    seed: int,
    arithmetic: Arithmetic,
    more: Sequence[pl.Callback] = (),
) -> Ended:
    chosen, rows = strategy(settings), prepared.rows
    about = identity(settings, prepared.weights, target.names, rows.train, rows.val)
    drawn = sampler(rows.train, settings, seed)
    if settings.weights_from:
        kept_weights.load(network, target.names, settings.weights_from, head=settings.strategy == "freeze")
    chosen.prepare(network)
    if prepared.features and isinstance(network, Averaging):
        network.standardise(prepared.features.train.features)
    loaders = _loaders(prepared.features, drawn) if prepared.features else _loaders(rows, drawn)
    with suiting(prepared, arithmetic) as suited:
        ended = train(how, network, target, chosen, loaders, about, settings, seed, suited, more)
    chosen.finish(network)
    return ended


def train(
    how: Callable[..., Ended],
    network: Network,
    target: Target,
    strategy: Strategy,
    loaders: Loaders,
    identity: Mapping[str, str],
    settings: Finetune,
    seed: int,
    arithmetic: Arithmetic,
    more: Sequence[pl.Callback] = (),
) -> Ended:
    """Train, from the last checkpoint of `resume_from`; `how` is `training.train`, which tests too, or `training.fit`.

    `identity` says what the training is about, and `more` are callbacks beside those of the settings.

    Raises:
        StepFailed: as `fit` does.
    """
    series = f"seed-{seed}-"
    writing = functools.partial(checkpoint_artifacts.writing, series)
    with checkpoint_artifacts.newest(settings.resume_from or "", series) as resumed:
        return how(
            Classifier(network, target, _optimization(settings), seed=seed),
            strategy,
            loaders,
            epochs=settings.epochs,
            arithmetic=arithmetic,
            devices=devices(settings, arithmetic),
            patience=settings.early_stopping,
            kept=Checkpoints(writing, settings.checkpoint_seconds, identity, finished=settings.seeds > 1),
            resumed=resumed,
            prefix=f"seed_{seed}/" if settings.seeds > 1 else "",
            more=[*user_callbacks.load(settings.callbacks), *_watch(settings), *more],
        )


def identity(
    settings: Finetune, weights: str, names: Sequence[str], train: TokenRows, val: TokenRows | None
) -> dict[str, str]:
    """Say what a training is about, `weights` being the loaded ones' fingerprint: another's checkpoints are refused."""
    return {
        "the form of checkpoints": _FORM,
        "the pretrained model": weights,
        "the labels": ", ".join(names),
        "the train rows": cache.key(train.tokens.key, train.labels),
        "the val rows": cache.key(val.tokens.key, val.labels) if val else "none",
        **{name: str(getattr(settings, name)) for name in _SHAPES},
    }


def micro_tokens(settings: Finetune, arithmetic: Arithmetic, network: Network) -> int | None:
    """Give the size of a micro-batch in padded tokens; `None` where a whole batch is taken at once."""
    states = network.states if network.packing else None
    return settings.micro_tokens or batches.micro_tokens(arithmetic.accelerator, states)


def sampler(train: TokenRows, settings: Finetune, seed: int) -> RandomBatches:
    """Draw batches of the train rows, by their tokens where the settings count those."""
    return RandomBatches(train.lengths, rows=settings.batch_size, tokens=settings.batch_tokens or None, seed=seed)


def strategy(settings: Finetune) -> Strategy:
    """Give what is trained, and when."""
    match settings.strategy:
        case "freeze":
            return strategies.Freeze()
        case "freeze_unfreeze":
            return strategies.FreezeUnfreeze(settings.unfreeze[0])
        case "unfreeze_milestones":
            first, second = settings.unfreeze
            return strategies.UnfreezeMilestones(first, second, settings.unfreeze_layers)
        case "lora":
            return strategies.Lora(settings.lora_rank, 2 * settings.lora_rank, 0.0)
        case _:
            return Strategy()


def _optimization(settings: Finetune) -> Optimization:
    return Optimization(
        learning_rate=settings.learning_rate,
        head_learning_rate=settings.head_learning_rate,
        weight_decay=settings.weight_decay,
        schedule=settings.schedule,
        warm_up=settings.warm_up,
        clip=settings.clip,
    )


def _loaders(rows: Rows[Kind], drawn: RandomBatches) -> Loaders:
    return Loaders(
        train=batches.training(rows.train, rows.collate, drawn),
        val=batches.evaluation(rows.val, rows.collate) if rows.val else None,
        test=batches.evaluation(rows.test, rows.collate),
    )


def _watch(settings: Finetune) -> list[Stalls]:
    return [Stalls(settings.stall_seconds)] if settings.stall_seconds else []


def devices(settings: Finetune, arithmetic: Arithmetic) -> Devices:
    """Give what trains: a head on features is too little for more than one.

    Raises:
        StepFailed: there are not so many.
    """
    if settings.strategy == "freeze":
        return Devices()
    return hardware.devices(arithmetic.accelerator, settings.devices, settings.nodes)
