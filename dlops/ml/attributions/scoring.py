"""What a model makes of many texts: probabilities, and their gradients, in batches of texts of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

TOKENS = {"cpu": 1024, "cuda": 65536, "mps": 16384}
"""Padded tokens of one pass through the model, by device: processors are fastest at few."""
_BACKWARDS = 8
"""How much less of a GPU's passes there is room for where gradients are computed."""
_ENCODED = 4096
"""Texts that are tokenized at once."""


class Scorer:
    """A model with its tokenizer, as it answers texts."""

    def __init__(
        self, model: Any, tokenizer: Any, *, kind: str, device: str = "cpu", bf16: bool = False, tokens: int = 0
    ) -> None:
        """Take a model that gives logits for a tokenizer's tensors; `kind` is its config's `problem_type`."""
        self.model = model.to(device).eval()
        tokenizer.padding_side = "right"  # the values of a text are those of its first tokens
        self.tokenizer, self.kind, self.device, self.bf16 = tokenizer, kind, device, bf16
        self.tokens = tokens or TOKENS.get(device, 1024)
        self.asked = 0
        """Texts that went through the model."""
        for weight in self.model.parameters():
            weight.requires_grad_(False)

    def scores(self, texts: Sequence[str]) -> Array:
        """Give probabilities (numbers, where the labels are), [texts, labels]; equal texts are read once."""
        places: dict[str, int] = {}
        for text in texts:
            places.setdefault(text, len(places))
        distinct = list(places)
        found = np.concatenate(
            [self._scores(distinct[start : start + _ENCODED]) for start in range(0, len(distinct), _ENCODED)]
        )
        return np.asarray(found[[places[text] for text in texts]])

    def _scores(self, texts: list[str]) -> Array:
        ids = self.encode(texts)
        found: Array | None = None
        for rows in self._batches([len(one) for one in ids], self.tokens):
            with torch.inference_mode(), self._arithmetic():
                answers = self.answers(self.tensors([ids[row] for row in rows]))
            if found is None:
                found = np.zeros((len(texts), answers.shape[1]))
            found[rows] = answers.double().cpu().numpy()
        self.asked += len(texts)
        assert found is not None
        return found

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the token ids that the model reads."""
        found: list[list[int]] = self.tokenizer(list(texts), truncation=True, return_attention_mask=False)["input_ids"]
        return found

    def tensors(self, ids: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        """Pad token ids into what the model takes, [texts, tokens]."""
        padded = self.tokenizer.pad({"input_ids": [list(one) for one in ids]}, return_tensors="pt")
        return {name: tensor.to(self.device) for name, tensor in padded.items()}

    def answers(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Give probabilities, or numbers, [texts, labels], in float32."""
        answer = self.model(**inputs)
        logits: torch.Tensor = getattr(answer, "logits", answer).float()
        if self.kind == "regression":
            return logits
        return logits.sigmoid() if self.kind == "multi_label_classification" else logits.softmax(dim=1)

    def gradients(
        self, ids: Sequence[Sequence[int]], kept: Sequence[Array], targets: Sequence[int], *, steps: int
    ) -> list[Array]:
        """Integrate gradients from masked tokens to the tokens (Sundararajan et al., 2017), [tokens] for each text.

        `ids` have the model's special tokens; tokens that are `kept`, [tokens] each, are never masked; `targets` are
        places of labels.
        """
        from captum.attr import LayerIntegratedGradients

        embeddings = getattr(self.model, "backbone", self.model).get_input_embeddings()
        method = LayerIntegratedGradients(lambda tokens, mask: self._answers_of(tokens, mask), embeddings)
        found: list[Array] = [np.empty(0)] * len(ids)
        most = self.tokens if self.device == "cpu" else self.tokens // _BACKWARDS
        for rows in self._batches([len(one) * steps for one in ids], most):
            inputs = self.tensors([ids[row] for row in rows])
            stays = torch.ones_like(inputs["input_ids"], dtype=torch.bool)
            for place, row in enumerate(rows):
                stays[place, : len(ids[row])] = torch.from_numpy(kept[row])
            hidden = torch.full_like(inputs["input_ids"], self._hidden)
            baseline = torch.where(stays, inputs["input_ids"], hidden)
            with self._arithmetic():
                values = method.attribute(
                    inputs["input_ids"],
                    baselines=baseline,
                    target=torch.tensor([targets[row] for row in rows], device=self.device),
                    additional_forward_args=(inputs["attention_mask"],),
                    n_steps=steps,
                    internal_batch_size=max(len(rows), 2 * most // inputs["input_ids"].shape[1]),
                )
            summed = values.sum(dim=2).double().cpu().numpy()
            for place, row in enumerate(rows):
                found[row] = summed[place, : len(ids[row])]
        return found

    @property
    def _hidden(self) -> int:
        """The token that hides others: the tokenizer's own for that, else one that says little."""
        names = ("mask", "unk", "pad", "eos")
        ids = (getattr(self.tokenizer, f"{name}_token_id", None) for name in names)
        return next((int(one) for one in ids if one is not None), 0)

    def _answers_of(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.answers({"input_ids": ids, "attention_mask": mask})

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16) if self.bf16 else nullcontext()

    def _batches(self, lengths: Sequence[int], most: int) -> Iterator[list[int]]:
        """Put texts of like length together, as many as are at most so many tokens."""
        some: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            if some and lengths[some[0]] * (len(some) + 1) > most:
                yield some
                some = []
            some.append(row)
        if some:
            yield some
