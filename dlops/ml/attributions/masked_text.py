"""Texts with some of their tokens hidden, as `shap.maskers.Text` makes them: the same words, the same tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_BLANKS = re.compile(r"\s+")


class Masker:
    """Hides tokens of texts by a tokenizer's own mask token, or runs of them by three dots where it has none."""

    def __init__(self, tokenizer: Any) -> None:
        """Take a tokenizer of transformers that tells where in a text its tokens are."""
        from shap.maskers import Text

        self.tokenizer = tokenizer
        self._shap = Text(tokenizer)
        self._keeps = (self._shap.keep_prefix, self._shap.keep_suffix)
        self._separator = tokenizer.sep_token

    def cut(self, text: str) -> str:
        """Give the part of a text that the model reads."""
        encoded = self.tokenizer(text, truncation=True, return_offsets_mapping=True)
        most = len(encoded["input_ids"])
        if self._count(text) == most:
            return text
        spans = [tuple(span) for span in encoded["offset_mapping"] if span[0] < span[1]]
        is_left = self.tokenizer.truncation_side == "left"
        while spans:
            part = text[spans[0][0] :] if is_left else text[: max(end for _, end in spans)]
            if self._count(part) <= most:  # a letter of several tokens may not fit as a whole
                return part
            del spans[0 if is_left else -1]
        return ""

    def of(self, text: str) -> MaskedText | None:
        """Take a text apart, which must be one that `cut` gave; `None` where it has no token that could be hidden."""
        offsets = self.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        if not offsets:
            return None
        segments, ids = self._shap.token_segments(text)
        # A letter of several tokens is the first one's: else a text with all of them would have it several times.
        segments = [
            "" if place and tuple(offsets[place]) == tuple(offsets[place - 1]) else segment
            for place, segment in enumerate(segments)
        ]
        kept = np.array([segment == self._separator for segment in segments])
        kept[: self._keeps[0]] = True
        kept[len(kept) - self._keeps[1] :] = True
        if kept.all():
            return None
        dots = bool(self._shap.collapse_mask_token)
        return MaskedText(text, segments, list(ids), kept, lambda: self._tree(text), f" {self._shap.mask_token}", dots)

    def _count(self, text: str) -> int:
        return len(self.tokenizer(text)["input_ids"])

    def _tree(self, text: str) -> Array:
        return np.asarray(self._shap.clustering(text))


class MaskedText:
    """One text, token by token."""

    def __init__(
        self,
        text: str,
        segments: list[str],
        ids: list[int],
        kept: Array,
        tree: Callable[[], Array],
        hidden: str,
        collapses: bool,
    ) -> None:
        self.text, self.segments, self.ids = text, segments, ids
        self.kept = kept
        """Which tokens are never hidden, [tokens]: those that the tokenizer adds."""
        self._tree, self._hidden, self._collapses = tree, hidden, collapses

    def __len__(self) -> int:
        return len(self.segments)

    @cached_property
    def clustering(self) -> Array:
        """A tree over the tokens, [tokens - 1, 4], as scipy writes one; it takes a while to grow over a long text."""
        return self._tree() if len(self) > 1 else np.empty((0, 4))

    def masked(self, masks: Array) -> list[str]:
        """Give the text with only those tokens shown that a mask has, for each of [variants, tokens]."""
        return [self._shown(mask) for mask in (masks | self.kept).tolist()]

    def _shown(self, mask: list[bool]) -> str:
        if all(mask):
            return self.text
        parts: list[str] = []
        for show, segment in zip(mask, self.segments, strict=True):
            if show:
                parts.append(segment)
            elif not (self._collapses and parts and parts[-1] is self._hidden):
                parts.append(self._hidden)
        return _BLANKS.sub(" ", "".join(parts)).strip()

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
