"""A backbone and its head as one network: micro-batches in, logits out; which layers there are, and how it is saved."""

from __future__ import annotations

import contextlib
import json
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn

from dlops.ml.batches import Micro
from dlops.ml.dropout import Dropout
from dlops.ml.masked_tokens import IGNORED
from dlops.ml.text_classifier import HEAD, Head, Pooled

if TYPE_CHECKING:
    from dlops.ml.packing import Packed, Packing

_FROZEN_DROPOUT = 0.5
"""Of features that do not change: thousands of them are read from few rows."""


class Network(nn.Module):
    """What every strategy trains, whatever its head."""

    inner: Any
    """The model that is saved."""
    packing: Packing | None = None
    """How rows are put one behind the other, where that is faster and the model is made for it."""

    @property
    @abstractmethod
    def backbone(self) -> Any:
        """The pretrained part."""

    @property
    @abstractmethod
    def last(self) -> nn.Linear:
        """The layer that gives the logits."""

    @abstractmethod
    def is_head(self, name: str) -> bool:
        """Tell whether the parameter of this name was not pretrained."""

    def is_unread(self, name: str) -> bool:
        """Tell whether the parameter of this name has no part in the answer."""
        del name
        return False

    @abstractmethod
    def features(self, part: Micro) -> torch.Tensor:
        """Give what the head reads of each row, [rows, …] in float32; the same whatever the head holds."""

    @abstractmethod
    def answer(self, features: torch.Tensor) -> torch.Tensor:
        """Give logits for features."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and configuration, as `text_classifier.load` reads them."""

    def forward(self, part: Micro) -> torch.Tensor:
        """Give logits, [rows, outputs] in float32, for tokens or for features."""
        if "features" in part:
            return self.answer(part["features"]).float()
        if packed := self._packed(part):
            return self.answer(self._read(*packed)).float()
        answer = self.inner(**inputs(part))
        logits: torch.Tensor = getattr(answer, "logits", answer)
        return logits.float()

    @abstractmethod
    def _read(self, packing: Packing, packed: Packed) -> torch.Tensor:
        """Give what the head reads of rows that lie one behind the other."""

    def _packed(self, part: Micro) -> tuple[Packing, Packed] | None:
        """Put rows one behind the other, where that is done, and none of them is empty."""
        packed = self.packing.pack(inputs(part)) if self.packing and "attention_mask" in part else None
        return (self.packing, packed) if self.packing and packed else None

    def blocks(self) -> Sequence[nn.Module]:
        """Give the backbone's layers, the first one first: its longest list of modules of one kind."""
        lists = [module for module in self.backbone.modules() if isinstance(module, nn.ModuleList)]
        return list(max(lists, key=len, default=[]))

    @property
    def states(self) -> int:
        """Numbers that the layers give for a token, all together."""
        return len(self.blocks()) * int(self.backbone.config.hidden_size)

    @property
    def size(self) -> int:
        """Weights there are."""
        return sum(parameter.numel() for parameter in self.parameters())


def inputs(part: Micro) -> Micro:
    """Give what the model itself is called with."""
    return {name: tensor for name, tensor in part.items() if name != "labels"}


class Standard(Network):
    """A transformers model for sequence classification, with the head that belongs to its architecture."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model

    @property
    def backbone(self) -> Any:
        return getattr(self.inner, self._prefix)

    @property
    def last(self) -> nn.Linear:
        outputs = self.inner.config.num_labels
        layers = [module for module in self.inner.modules() if isinstance(module, nn.Linear)]
        return next(layer for layer in reversed(layers) if layer.out_features == outputs)

    def is_head(self, name: str) -> bool:
        prefix = f"inner.{self._prefix}."
        return not name.startswith(prefix) or name.startswith(f"{prefix}pooler.")

    def features(self, part: Micro) -> torch.Tensor:
        """Give the last state of the first token, [rows, 1, hidden]."""
        if packed := self._packed(part):
            return self._read(*packed)
        states = self.backbone(**inputs(part)).last_hidden_state
        return torch.as_tensor(states)[:, :1].float()

    def answer(self, features: torch.Tensor) -> torch.Tensor:
        with _given(self.inner, self._prefix, features):
            logits: torch.Tensor = self.inner(inputs_embeds=features).logits
        return logits

    def _read(self, packing: Packing, packed: Packed) -> torch.Tensor:
        return packing.first(self.inner, packed).float()

    def save(self, folder: Path) -> None:
        self.inner.save_pretrained(folder)

    @property
    def _prefix(self) -> str:
        return str(self.inner.base_model_prefix)


class MaskedLanguageModel(Network):
    """A transformers model that guesses hidden tokens, with the head that belongs to its architecture."""

    def __init__(self, model: nn.Module, fresh: Collection[str] = ()) -> None:
        super().__init__()
        self.inner = model
        self._fresh = frozenset(f"inner.{name}" for name in fresh)

    @property
    def backbone(self) -> Any:
        return getattr(self.inner, self._prefix)

    @property
    def last(self) -> nn.Linear:
        """The layer that gives the logits of the vocabulary; most often its weights are those of the embeddings."""
        layer: nn.Linear = self.inner.get_output_embeddings()
        return layer

    def is_head(self, name: str) -> bool:
        """Tell whether the model's weights lacked this parameter, as those of a sentence encoder lack the head's."""
        return name in self._fresh

    def features(self, part: Micro) -> torch.Tensor:
        """Give the last states of the hidden tokens alone, [hidden, size], in the order of rows and places."""
        hidden = part["labels"] != IGNORED
        if packed := self._packed(part):
            return self._read(*packed)[hidden[packed[1].kept]]
        states: torch.Tensor = self.backbone(**inputs(part)).last_hidden_state
        return states[hidden].float()

    def answer(self, features: torch.Tensor) -> torch.Tensor:
        """Give logits, [hidden, vocabulary]; those of all tokens would take most of the memory."""
        with _given(self.inner, self._prefix, features[None]):
            logits: torch.Tensor = self.inner(inputs_embeds=features[None]).logits
        return logits[0]

    def _read(self, packing: Packing, packed: Packed) -> torch.Tensor:
        """Give the last states of all tokens, [tokens of all rows, size]."""
        return packing.states(self.backbone, packed).float()

    def forward(self, part: Micro) -> torch.Tensor:
        """Give logits of the hidden tokens, [hidden, vocabulary] in float32; `labels` tell which are hidden."""
        return self.answer(self.features(part)).float()

    def save(self, folder: Path) -> None:
        """Write weights and configuration, as `AutoModelForMaskedLM` and, without the head, `AutoModel` read them."""
        self.inner.save_pretrained(folder)

    @property
    def _prefix(self) -> str:
        return str(self.inner.base_model_prefix)


@contextlib.contextmanager
def _given(model: Any, prefix: str, states: torch.Tensor) -> Iterator[None]:
    """Let a model take these states for those of its backbone."""
    backbone = getattr(model, prefix)
    setattr(model, prefix, _Given(backbone, states))
    try:
        yield
    finally:
        setattr(model, prefix, backbone)


class _Given(nn.Module):
    """Stands in for a backbone whose states are known."""

    def __init__(self, backbone: Any, states: torch.Tensor) -> None:
        super().__init__()
        self.pooler = getattr(backbone, "pooler", None)
        self.embeddings = getattr(backbone, "embeddings", None)  # DeBERTa's head reads them
        self._states = states

    def forward(self, *arguments: Any, **others: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        del arguments, others
        pooled = None if self.pooler is None else self.pooler(self._states)
        return BaseModelOutputWithPooling(last_hidden_state=self._states, pooler_output=pooled)


class Averaging(Network):
    """A backbone under a linear head over averages of its token states."""

    def __init__(self, backbone: Any, outputs: int, *, every: bool) -> None:
        super().__init__()
        config = backbone.config
        head = Head(config.num_hidden_layers + 1, config.hidden_size, outputs, every=every)
        nn.init.normal_(head.linear.weight, std=0.02)
        nn.init.zeros_(head.linear.bias)
        self.inner = Pooled(backbone, head)
        self._standard: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        """Features that it was last brought to one scale for, their mean and deviation."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad = not self.is_unread(name)

    @property
    def backbone(self) -> Any:
        return self.inner.backbone

    @property
    def last(self) -> nn.Linear:
        layer: nn.Linear = self.inner.head.linear
        return layer

    def is_head(self, name: str) -> bool:
        return name.startswith("inner.head.")

    def is_unread(self, name: str) -> bool:
        return name.startswith("inner.backbone.pooler.")

    def features(self, part: Micro) -> torch.Tensor:
        """Give the averages of every layer, [rows, layers, hidden]."""
        if packed := self._packed(part):
            packing, rows = packed
            return packing.averages(self.backbone, rows)
        averages: torch.Tensor = self.inner.averages(**inputs(part))
        return averages

    def answer(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner.head(features)
        return logits

    def _read(self, packing: Packing, packed: Packed) -> torch.Tensor:
        return packing.averages(self.backbone, packed, every=self.inner.head.every)

    def standardise(self, features: torch.Tensor) -> None:
        """Let the head bring features that will not change to mean 0 and deviation 1, those of the train rows."""
        head = self.inner.head
        if self._standard is None or self._standard[0] is not features:  # other heads have the same
            read = (features if head.every else features[:, -1:]).flatten(1)
            self._standard = (features, read.mean(dim=0), read.std(dim=0, correction=0).clamp(min=1e-6))
        head.centre.copy_(self._standard[1])
        head.scale.copy_(self._standard[2])
        head.dropout = Dropout(_FROZEN_DROPOUT).train(head.training)

    def save(self, folder: Path) -> None:
        self.backbone.save_pretrained(folder)
        head = self.inner.head
        described = {"layers": self.backbone.config.num_hidden_layers + 1, "hidden": self.backbone.config.hidden_size}
        described |= {"outputs": head.linear.out_features, "every": head.every}
        (folder / f"{HEAD}.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        save_file(
            {name: tensor.contiguous() for name, tensor in head.state_dict().items()}, folder / f"{HEAD}.safetensors"
        )


def trainable(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Give the parameters that are trained now, by name."""
    return ((name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad)
