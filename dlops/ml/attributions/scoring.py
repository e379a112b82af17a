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
_ENCODED = 4096
"""Texts that are tokenized at once."""


class Scorer:
    """A model with its tokenizer, as it answers texts."""

    def __init__(
        self, model: Any, tokenizer: Any, *, kind: str, device: str = "cpu", bf16: bool = False, tokens: int = 0
    ) -> None:
        """Take a model that gives logits for a tokenizer's tensors; `kind` is its config's `problem_type`."""
        self.model = model.to(device).eval()
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
        for rows in self._batches([len(one) for one in ids]):
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

    def gradients(self, ids: Sequence[Sequence[int]], targets: Sequence[int], *, steps: int) -> list[Array]:
        """Integrate gradients from masked tokens to the tokens (Sundararajan et al., 2017), [tokens] for each text.

        `ids` have the model's special tokens, and `targets` are places of labels.
        """
        from captum.attr import LayerIntegratedGradients

        embeddings = getattr(self.model, "backbone", self.model).get_input_embeddings()
        method = LayerIntegratedGradients(lambda tokens, mask: self._answers_of(tokens, mask), embeddings)
        found: list[Array] = [np.empty(0)] * len(ids)
        for rows in self._batches([len(ids[row]) * steps for row in range(len(ids))]):
            inputs = self.tensors([ids[row] for row in rows])
            baseline = torch.stack([self.masked(one) for one in inputs["input_ids"]])
            with self._arithmetic():
                values = method.attribute(
                    inputs["input_ids"],
                    baselines=baseline,
                    target=torch.tensor([targets[row] for row in rows], device=self.device),
                    additional_forward_args=(inputs["attention_mask"],),
                    n_steps=steps,
                )
            summed = values.sum(dim=2).double().cpu().numpy()
            for place, row in enumerate(rows):
                found[row] = summed[place, : len(ids[row])]
        return found

    def masked(self, ids: torch.Tensor) -> torch.Tensor:
        """Replace all tokens but special ones, [tokens], by the token that hides them."""
        hidden = self.tokenizer.mask_token_id
        hidden = self.tokenizer.unk_token_id if hidden is None else hidden
        special = torch.tensor(
            self.tokenizer.get_special_tokens_mask(ids.tolist(), already_has_special_tokens=True),
            dtype=torch.bool,
            device=ids.device,
        )
        return torch.where(special, ids, torch.full_like(ids, hidden))

    def _answers_of(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.answers({"input_ids": ids, "attention_mask": mask})

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device, torch.bfloat16) if self.bf16 else nullcontext()

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Put texts of like length together, as many as fit into one pass."""
        some: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            if some and lengths[some[0]] * (len(some) + 1) > self.tokens:
                yield some
                some = []
            some.append(row)
        if some:
            yield some
