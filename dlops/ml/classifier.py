"""The classifier that Lightning trains: a transformers model, its loss, its optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from dlops.errors import StepFailed
from dlops.ml.batches import Batch
from dlops.ml.evaluation import Evaluation, confusion

_WEIGHT_DECAY = 0.01
_WARM_UP = 0.1


@dataclass(frozen=True)
class Rates:
    """Peak learning rates: of the pretrained layers, and of the head."""

    backbone: float
    head: float


class Classifier(pl.LightningModule):  # type: ignore[misc]  # Lightning has no types for us
    """Trains `model`, a transformers model for sequence classification, on batches of micro-batches."""

    def __init__(self, model: nn.Module, labels: tuple[str, ...], rates: Rates) -> None:
        super().__init__()
        self.model = model
        self.labels = labels
        self.rates = rates
        self.result: Evaluation | None = None
        """Figures of the last pass over the val or test rows."""
        self.train_loss = 0.0
        """Mean loss of the epoch so far."""
        self._sums: list[tuple[float, list[int], list[int]]] = []
        self._seen = 0

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Give the mean loss of the batch.

        Raises:
            StepFailed: the loss is no finite number.
        """
        rows = sum(len(part["labels"]) for part in batch)
        loss = torch.stack([self._loss(part)[0] for part in batch]).sum() / rows
        value = float(loss.detach())
        if not torch.isfinite(loss):
            raise StepFailed(
                f"The loss became {value} in epoch {self.current_epoch + 1}, batch {index + 1}.",
                hint="Try a lower learning_rate, or precision=32.",
            )
        self.train_loss += (value - self.train_loss) * rows / (self._seen + rows)
        self._seen += rows
        return loss

    def on_train_epoch_start(self) -> None:
        self.train_loss, self._seen = 0.0, 0
        self.model.train()  # transformers loads models in evaluation mode, and Lightning keeps the mode it finds
        hold_frozen_still(self.model)

    def validation_step(self, batch: Batch, index: int) -> None:
        del index
        for part in batch:
            loss, logits = self._loss(part)
            self._sums.append((loss.item(), part["labels"].tolist(), logits.argmax(-1).tolist()))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        actual = [place for _, places, _ in self._sums for place in places]
        predicted = [place for _, _, places in self._sums for place in places]
        loss = sum(part for part, _, _ in self._sums) / len(actual)
        self.result = Evaluation(self.labels, confusion(actual, predicted, len(self.labels)), loss)
        self._sums.clear()

    on_test_epoch_end = on_validation_epoch_end

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW (Loshchilov & Hutter, 2019), linear warm-up and decay; no weight decay on biases and norms."""
        fused = self.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(self._groups(), weight_decay=_WEIGHT_DECAY, fused=fused)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm; Lightning itself refuses to with a fused optimizer in bf16, for fear of scaled gradients."""
        del optimizer, gradient_clip_algorithm
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def _groups(self) -> list[dict[str, Any]]:
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                rate = self.rates.head if is_head(self.model, name) else self.rates.backbone
                decay = _WEIGHT_DECAY if parameter.ndim > 1 else 0.0
                groups.setdefault((rate, decay), []).append(parameter)
        return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()]

    def _loss(self, part: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the summed loss and the logits, [rows, labels], of a micro-batch."""
        inputs = {name: tensor for name, tensor in part.items() if name != "labels"}
        logits = self.model(**inputs).logits.float()
        return nn.functional.cross_entropy(logits, part["labels"], reduction="sum"), logits


def is_head(model: nn.Module, name: str) -> bool:
    """Tell whether a parameter belongs to the head: all that is not the backbone, and the backbone's pooler."""
    prefix = str(model.base_model_prefix)
    return not name.startswith(f"{prefix}.") or name.startswith(f"{prefix}.pooler.")


def hold_frozen_still(model: nn.Module) -> None:
    """Put modules without a trainable parameter into evaluation mode: no dropout, no moving averages."""
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def _rate(step: int, steps: int) -> float:
    warm = max(1, round(_WARM_UP * steps))
    return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
