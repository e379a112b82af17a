"""Further pre-training on texts without labels: tokens are hidden and guessed (Devlin et al., 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from dlops.ml import batches, features, fine_tuning, masked_tokens, memory, tokens, training
from dlops.ml.batches import TokenRows
from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import Evaluation
from dlops.ml.hardware import Arithmetic
from dlops.ml.masked_tokens import MaskingCollator
from dlops.ml.networks import MaskedLanguageModel
from dlops.ml.settings import Finetune
from dlops.ml.targets import MaskedTokens
from dlops.ml.training import Loaders, Trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Pretrained(NamedTuple):
    """What came of it."""

    before: Evaluation
    """Of the model as it was, on the rows that `trained.test` is of."""
    trained: Trained
    judged_on: str
    """The split that those rows are of: the test rows, where there are some."""


def fit(
    network: MaskedLanguageModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    settings: Finetune,
    arithmetic: Arithmetic,
) -> Pretrained:
    """Train the network to guess hidden tokens; the test's masks are the same before and afterwards.

    Raises:
        StepFailed: the tokenizer has no mask; or as `fine_tuning.fit` does.
    """
    memory.keep()
    target = MaskedTokens()
    judged_on = next(name for name in ("test", "val", "train") if len(getattr(dataset, name)))
    train, test = (_rows(getattr(dataset, name), tokenizer, settings) for name in ("train", judged_on))
    val = _rows(dataset.val, tokenizer, settings) if len(dataset.val) else None
    fine_tuning.tell_cut(train, tokenizer, settings)
    micro = fine_tuning.micro_tokens(settings, arithmetic, network)
    loaders = _loaders(train, val, test, tokenizer, settings, micro)
    before = training.judge(network, target, loaders.test, arithmetic)
    chosen = fine_tuning.strategy(settings)
    about = fine_tuning.identity(settings, features.fingerprint(network), target.names, train, val)
    chosen.prepare(network)
    trained = fine_tuning.train(
        training.train, network, target, chosen, loaders, about, settings, settings.seed, arithmetic
    )
    chosen.finish(network)
    return Pretrained(before, trained, judged_on)


def _rows(split: Split, tokenizer: PreTrainedTokenizerBase, settings: Finetune) -> TokenRows:
    """Tokenize; a row is labelled with its number."""
    found = tokens.encode(tokenizer, split.texts, split.pairs, settings.max_length)
    return TokenRows(found, torch.arange(len(split)))


def _loaders(
    train: TokenRows,
    val: TokenRows | None,
    test: TokenRows,
    tokenizer: PreTrainedTokenizerBase,
    settings: Finetune,
    micro: int | None,
) -> Loaders:
    masking = masked_tokens.masking(tokenizer, settings.mask_share)
    padding = tokenizer.pad_token_id or 0
    sampler = fine_tuning.sampler(train, settings, settings.seed)
    hiding = MaskingCollator(masking, padding, micro, seed=settings.seed, epochs=sampler)
    judging = MaskingCollator(masking, padding, micro)
    return Loaders(
        train=batches.training(train, hiding, sampler),
        val=batches.evaluation(val, judging) if val else None,
        test=batches.evaluation(test, judging),
    )
