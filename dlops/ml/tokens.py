"""Texts as token ids: tokenized once, kept by content, as one long tensor rather than many lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dlops.ml import cache
from dlops.ml.cache import Tensors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids of many texts, end to end."""

    ids: torch.Tensor
    """int32, [all tokens]."""
    ends: torch.Tensor
    """int64, [rows]: where each row's tokens end."""
    types: torch.Tensor | None = None
    """uint8, [all tokens]: 0 in a first text, 1 in a second; `None` where the model is told of no such thing."""

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        lengths: list[int] = torch.diff(self.ends, prepend=self.ends.new_zeros(1)).tolist()
        return lengths

    def row(self, place: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Give ids and types of one row."""
        start = int(self.ends[place - 1]) if place else 0
        end = int(self.ends[place])
        return self.ids[start:end], None if self.types is None else self.types[start:end]

    def __add__(self, others: Tokens) -> Tokens:
        types = None if self.types is None or others.types is None else torch.cat([self.types, others.types])
        ends = torch.cat([self.ends, others.ends + (self.ends[-1] if len(self) else 0)])
        return Tokens(torch.cat([self.ids, others.ids]), ends, types)

    @property
    def key(self) -> str:
        """Stands for the content."""
        return cache.key(self.ids, self.ends, *([] if self.types is None else [self.types]))


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
) -> Tokens:
    """Tokenize texts or pairs, cut to `max_length` tokens or to what the tokenizer says its model takes, if less."""
    most = limit(tokenizer, max_length)
    known = cache.key(_fingerprint(tokenizer), str(most), _hashed(texts), _hashed(pairs))
    found = cache.remembered("tokens", known, lambda: _tokenize(tokenizer, texts, pairs, most))
    return Tokens(found["ids"], found["ends"], found.get("types"))


def limit(tokenizer: PreTrainedTokenizerBase, max_length: int) -> int:
    """Give how many tokens of a row are read."""
    return int(min(max_length, tokenizer.model_max_length))


def _tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], pairs: Sequence[str] | None, most: int
) -> Tensors:
    wanted = "token_type_ids" in tokenizer.model_input_names and pairs is not None
    parts: dict[str, list[torch.Tensor]] = {"ids": [], "types": [], "lengths": []}
    for start in range(0, len(texts), _ROWS):
        rows = slice(start, start + _ROWS)
        found = tokenizer(
            list(texts[rows]),
            None if pairs is None else list(pairs[rows]),
            truncation=True,
            max_length=most,
            return_attention_mask=False,
            return_token_type_ids=wanted,
        )
        parts["ids"].append(_flat(found["input_ids"], torch.int32))
        parts["lengths"].append(torch.tensor([len(ids) for ids in found["input_ids"]]))
        if wanted:
            parts["types"].append(_flat(found["token_type_ids"], torch.uint8))
    tensors = {"ids": _joined(parts["ids"], torch.int32), "ends": _joined(parts["lengths"], torch.int64).cumsum(0)}
    return tensors | ({"types": _joined(parts["types"], torch.uint8)} if wanted else {})


def _flat(rows: Sequence[Sequence[int]], kind: torch.dtype) -> torch.Tensor:
    return torch.tensor([number for row in rows for number in row], dtype=kind)


def _joined(parts: Sequence[torch.Tensor], kind: torch.dtype) -> torch.Tensor:
    return torch.cat([*parts, torch.empty(0, dtype=kind)])


def _fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash all that decides on a text's tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:  # an earlier call left its limit there
        backend.no_truncation()
        backend.no_padding()
    rules = backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))
    return cache.key(type(tokenizer).__name__, rules, str(tokenizer.model_input_names))


def _hashed(texts: Sequence[str] | None) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts or ():
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return f"{'no' if texts is None else len(texts)} {digest.hexdigest()}"
