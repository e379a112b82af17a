"""Texts with some of their tokens hidden, as `shap.maskers.Text` makes them: the same words, the same tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_BLANKS = re.compile(r"\s+")


class Masker:
    """Hides tokens of texts by a tokenizer's own mask token, or by three dots where it has none."""

    def __init__(self, tokenizer: Any) -> None:
        """Take a tokenizer of transformers that tells where in a text its tokens are."""
        from shap.maskers import Text

        self.tokenizer = tokenizer
        self._shap = Text(tokenizer)
        self._keeps = (self._shap.keep_prefix, self._shap.keep_suffix)
        self._hidden = f" {self._shap.mask_token}"
        self._separator = tokenizer.sep_token

    def cut(self, text: str) -> str:
        """Give the part of a text that the model reads."""
        encoded = self.tokenizer(text, truncation=True, return_offsets_mapping=True)
        ends = [end for _, end in encoded["offset_mapping"]]
        whole = len(self.tokenizer(text)["input_ids"])
        return text if whole == len(ends) else text[: max(ends)]

    def of(self, text: str) -> MaskedText:
        """Take a text apart; it must be one that `cut` gave."""
        segments, ids = self._shap.token_segments(text)
        kept = np.array([segment == self._separator for segment in segments])
        kept[: self._keeps[0]] = True
        kept[len(kept) - self._keeps[1] :] = True
        return MaskedText(text, list(segments), list(ids), kept, self._shap.clustering(text), self._hidden)


class MaskedText:
    """One text, token by token."""

    def __init__(
        self, text: str, segments: list[str], ids: list[int], kept: Array, clustering: Array, hidden: str
    ) -> None:
        self.text, self.segments, self.ids = text, segments, ids
        self.kept = kept
        """Which tokens are never hidden, [tokens]: those that the tokenizer adds."""
        self.clustering = clustering
        """A tree over the tokens, [tokens - 1, 4], as scipy writes one."""
        self._hidden = hidden

    def __len__(self) -> int:
        return len(self.segments)

    def masked(self, masks: Array) -> list[str]:
        """Give the text with only those tokens shown that a mask has, for each of [variants, tokens]."""
        shown = masks | self.kept
        pairs = [(self._hidden, segment) for segment in self.segments]
        return [
            _BLANKS.sub(" ", "".join([pair[show] for pair, show in zip(pairs, mask, strict=True)])).strip()
            for mask in shown.tolist()
        ]

    @property
    def hidden(self) -> str:
        """The text with all of its tokens hidden."""
        return self.masked(np.zeros((1, len(self)), bool))[0]

    def only(self, order: Sequence[int], count: int) -> Array:
        """Give the mask that shows the first `count` tokens of an order alone, [tokens]."""
        return ~self.without(order, count)

    def without(self, order: Sequence[int], count: int) -> Array:
        """Give the mask that hides the first `count` tokens of an order, [tokens]."""
        mask = np.ones(len(self), bool)
        mask[list(order[:count])] = False
        return mask
