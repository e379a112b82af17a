"""Tokens to be guessed: chosen anew each epoch, hidden as BERT hides them, the same whenever a row comes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from dlops.errors import StepFailed
from dlops.ml.batches import Collator, Example, Micro, RandomBatches

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""Stands for a token that is not to be guessed; what PyTorch's cross-entropy ignores."""
_HIDDEN, _REPLACED = 0.8, 0.1
"""Shares of the chosen tokens that become the mask, and that become any other token; the rest stay (Devlin et al.,
2018)."""

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Masking:
    """Chooses tokens of a row, and hides them."""

    mask: int
    """Id of the token that hides another one."""
    special: _Ids
    """Ids that are never chosen, and take no other token's place."""
    others: _Ids
    """All other ids."""
    share: float = 0.15
    """Of a row's tokens that are not special, above 0 and at most 1; at least one is chosen, where there is one."""

    def __call__(self, ids: _Ids, generator: np.random.Generator) -> tuple[_Ids, _Ids]:
        """Give a row's ids as the model sees them, and the ids it is to guess, `IGNORED` elsewhere; [tokens] each."""
        seen, guessed = ids.copy(), np.full_like(ids, IGNORED)
        known = np.flatnonzero(~np.isin(ids, self.special))
        if not len(known):
            return seen, guessed
        count = max(1, int(self.share * len(known) + generator.random()))
        chosen = generator.choice(known, count, replace=False)
        drawn = generator.random(count)
        guessed[chosen] = ids[chosen]
        seen[chosen[drawn < _HIDDEN]] = self.mask
        replaced = chosen[(drawn >= _HIDDEN) & (drawn < _HIDDEN + _REPLACED)]
        seen[replaced] = generator.choice(self.others, len(replaced))
        return seen, guessed


def masking(tokenizer: PreTrainedTokenizerBase, share: float = 0.15) -> Masking:
    """Give the masking for a tokenizer's vocabulary.

    Raises:
        StepFailed: it has no token that hides others.
    """
    if tokenizer.mask_token_id is None:
        raise StepFailed(
            "The model's tokenizer has no mask token, so no token can be hidden.",
            hint="Name an encoder that was trained on masked tokens, such as one of BERT's kind: model=…",
        )
    special = np.array(tokenizer.all_special_ids, dtype=np.int64)
    return Masking(int(tokenizer.mask_token_id), special, np.setdiff1d(np.arange(len(tokenizer)), special), share)


class MaskingCollator(Collator):
    """Makes micro-batches whose `labels` are the tokens to guess, [rows, tokens], of rows labelled with their numbers.

    What is hidden of a row depends on seed, epoch and the row's number alone: an interrupted training goes on with the
    same masks, however its batches are cut. `epochs` tells the epoch; without, each pass has the masks of epoch 0, so
    that its figures compare.
    """

    def __init__(
        self,
        masking: Masking,
        padding: int,
        micro_tokens: int | None,
        *,
        seed: int = 0,
        epochs: RandomBatches | None = None,
    ) -> None:
        super().__init__(padding, micro_tokens)
        self._masking, self._seed, self._epochs = masking, seed, epochs

    def padded(self, group: Sequence[Example]) -> Micro:
        """Give a micro-batch."""
        found = super().padded(group)
        epoch = self._epochs.epoch if self._epochs else 0
        guessed = torch.full_like(found["input_ids"], IGNORED)
        for place, (example, number) in enumerate(zip(group, found["labels"].tolist(), strict=True)):
            generator = np.random.default_rng([self._seed, epoch, number])
            seen, wanted = self._masking(example.ids.numpy().astype(np.int64), generator)
            found["input_ids"][place, : len(seen)] = torch.from_numpy(seen)
            guessed[place, : len(wanted)] = torch.from_numpy(wanted)
        return {**found, "labels": guessed}
