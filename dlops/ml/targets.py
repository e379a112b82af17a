"""What a model is trained to give: classes, a number, or hidden tokens; loss, outputs and figures of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dlops.data.labels import NONE
from dlops.errors import StepFailed
from dlops.ml.evaluation import Classification, Evaluation, MaskedLanguage, MultiLabel, Regression
from dlops.ml.masked_tokens import IGNORED


class Target(ABC):
    """One kind of target; `encode`, `loss` and `evaluation` speak of the same tensors."""

    kind: str
    """`classes`, `multilabel`, `number` or `none`, as `ingest` names them."""
    problem_type: str
    """What transformers calls it; nothing where it has no name for it."""
    names: tuple[str, ...]
    """One name for each of the model's outputs, where they have names."""

    @abstractmethod
    def encode(self, labels: Sequence[Any]) -> torch.Tensor:
        """Give what the loss compares with: [rows] for classes and numbers, [rows, labels] for several classes."""

    @abstractmethod
    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Give the summed loss of [rows, outputs] in float32."""

    def weight(self, targets: torch.Tensor) -> int:
        """Count what the loss sums over, of which a batch's loss is the mean: the rows."""
        return len(targets)

    def answers(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give what is kept of a micro-batch for the evaluation, on the CPU, both row by row."""
        return logits.cpu(), targets.cpu()

    @abstractmethod
    def evaluation(self, logits: torch.Tensor, targets: torch.Tensor) -> Evaluation:
        """Judge the answers of a whole split."""


@dataclass(frozen=True, eq=False)
class Classes(Target):
    """One of several classes: softmax, cross-entropy."""

    names: tuple[str, ...]
    weights: torch.Tensor | None = None
    """[labels], how much a row of each class counts in the training; of mean 1 over the train rows."""
    kind = "classes"
    problem_type = "single_label_classification"

    def encode(self, labels: Sequence[Any]) -> torch.Tensor:
        places = {name: place for place, name in enumerate(self.names)}
        return torch.tensor([places[label] for label in labels], dtype=torch.long)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weights = None if self.weights is None else self.weights.to(logits.device)
        return nn.functional.cross_entropy(logits, targets, weight=weights, reduction="sum")

    def evaluation(self, logits: torch.Tensor, targets: torch.Tensor) -> Evaluation:
        loss = nn.functional.cross_entropy(logits, targets).item()
        return Classification(self.names, targets.numpy(), logits.softmax(dim=1).numpy(), loss)


@dataclass(frozen=True, eq=False)
class SeveralClasses(Target):
    """Any number of classes: a sigmoid and binary cross-entropy for each."""

    names: tuple[str, ...]
    weights: torch.Tensor | None = None
    """[labels], how much the presence of each class counts against its absence."""
    kind = "multilabel"
    problem_type = "multi_label_classification"

    def encode(self, labels: Sequence[Any]) -> torch.Tensor:
        places = {name: place for place, name in enumerate(self.names)}
        targets = torch.zeros(len(labels), len(self.names))
        for row, those in enumerate(labels):
            targets[row, [places[name] for name in those]] = 1.0
        return targets

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weights = None if self.weights is None else self.weights.to(logits.device)
        apart = nn.functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
        return apart.mean(dim=1).sum()

    def evaluation(self, logits: torch.Tensor, targets: torch.Tensor) -> Evaluation:
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets).item()
        return MultiLabel(self.names, targets.numpy() > 0, logits.sigmoid().numpy(), loss)


@dataclass(frozen=True, eq=False)
class Number(Target):
    """A number: squared error, in units of the train rows' mean and standard deviation."""

    mean: float
    deviation: float
    kind = "number"
    problem_type = "regression"
    names: tuple[str, ...] = ("value",)

    def encode(self, labels: Sequence[Any]) -> torch.Tensor:
        numbers = torch.tensor([float(label) for label in labels], dtype=torch.float64)
        return ((numbers - self.mean) / self.deviation).float()

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(logits[:, 0], targets, reduction="sum")

    def evaluation(self, logits: torch.Tensor, targets: torch.Tensor) -> Evaluation:
        actual, predicted = (values.double().numpy() * self.deviation + self.mean for values in (targets, logits[:, 0]))
        return Regression(actual, predicted, nn.functional.mse_loss(logits[:, 0], targets).item())

    def in_its_own_units(self, last: nn.Linear) -> None:
        """Let the last layer give the number itself, so that whoever loads the model need not know the units."""
        with torch.no_grad():
            last.weight.mul_(self.deviation)
            last.bias.mul_(self.deviation).add_(self.mean)


@dataclass(frozen=True)
class MaskedTokens(Target):
    """The tokens that were hidden from the model: softmax over the vocabulary, cross-entropy.

    Logits are those of the hidden tokens alone, [hidden, vocabulary], in the order of rows and places; targets are
    [rows, tokens], `IGNORED` where nothing is to be guessed.
    """

    kind = NONE
    problem_type = ""
    names = ()

    def encode(self, labels: Sequence[Any]) -> torch.Tensor:
        """Number the rows: what is to be guessed is chosen when a batch is made."""
        return torch.arange(len(labels))

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits, targets[targets != IGNORED], reduction="sum")

    def weight(self, targets: torch.Tensor) -> int:
        """Count the hidden tokens."""
        return int((targets != IGNORED).sum())

    def answers(self, logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give each row's summed loss and its hidden tokens, [rows] each: logits of a split would fill the memory."""
        hidden = targets != IGNORED
        apart = nn.functional.cross_entropy(logits, targets[hidden], reduction="none").double().cpu()
        rows = hidden.nonzero()[:, 0].cpu()
        return torch.zeros(len(targets), dtype=torch.float64).index_add(0, rows, apart), hidden.sum(dim=1).cpu()

    def evaluation(self, logits: torch.Tensor, targets: torch.Tensor) -> Evaluation:
        """Judge the answers of a whole split.

        Raises:
            StepFailed: no token was hidden.
        """
        if not targets.any():
            raise StepFailed(
                "No row that is judged has a token that can be hidden.",
                hint="Does the model's tokenizer know the language of the texts?",
            )
        return MaskedLanguage(logits.numpy(), targets.numpy(), float(logits.sum() / targets.sum()))


def of(kind: str, labels: Sequence[str], train: Sequence[Any], *, balanced: bool = False) -> Target:
    """Make the target of a dataset; `balanced` lets rare classes count as much as frequent ones."""
    if kind == "number":
        numbers = np.asarray(train, dtype=np.float64)
        return Number(float(numbers.mean()), float(numbers.std()) or 1.0)
    names = tuple(labels)
    if kind == "multilabel":
        return SeveralClasses(names, _presence_weights(names, train) if balanced else None)
    return Classes(names, _class_weights(names, train) if balanced else None)


def _class_weights(names: Sequence[str], train: Sequence[str]) -> torch.Tensor:
    counts = Counter(train)
    return torch.tensor([len(train) / (len(counts) * counts[name]) if counts[name] else 1.0 for name in names])


def _presence_weights(names: Sequence[str], train: Sequence[Sequence[str]]) -> torch.Tensor:
    counts = Counter(name for those in train for name in those)
    varied = {name for name in names if 0 < counts[name] < len(train)}
    return torch.tensor([(len(train) - counts[name]) / counts[name] if name in varied else 1.0 for name in names])
