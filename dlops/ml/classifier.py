"""What Lightning trains: a network, the loss of its target, its optimizer and schedule, a step in micro-batches."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pytorch_lightning as pl
import torch
from torch import nn

from dlops.errors import StepFailed
from dlops.ml import batches, memory, ranks
from dlops.ml.batches import Batch
from dlops.ml.evaluation import Evaluation
from dlops.ml.networks import Network, trainable
from dlops.ml.progress import say
from dlops.ml.targets import Target

Schedule: TypeAlias = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the weights are moved."""

    learning_rate: float
    """Peak, of the pretrained layers."""
    head_learning_rate: float
    """Peak, of what was not pretrained."""
    weight_decay: float = 0.01
    schedule: Schedule = "linear"
    warm_up: float = 0.1
    """Share of the steps in which the rates rise from nothing."""
    clip: float = 1.0
    """The longest that the gradient may be, as a norm; 0 sets no bound."""


class Classifier(pl.LightningModule):  # type: ignore[misc]  # Lightning has no types for us
    """Trains a network on batches of micro-batches."""

    def __init__(self, network: Network, target: Target, optimization: Optimization, *, seed: int = 0) -> None:
        super().__init__()
        self.network = network
        self.target = target
        self.optimization = optimization
        self.result: Evaluation | None = None
        """Figures of the last pass over the val or test rows."""
        self.train_loss = 0.0
        """Mean loss of the epoch so far, of this process's rows."""
        self.automatic_optimization = False  # gradients of micro-batches are summed as they come: memory stays small
        self._seed = seed
        self._seen = 0
        self._epoch = -1
        self._halvings = 0
        self._answers: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the name of the hook that is called, which Lightning does at each, without ado."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def training_step(self, batch: Batch, index: int) -> None:
        """Move the weights once, by the mean loss of the batch: over what the target says that it sums over.

        What dropout draws depends on seed and step alone, so that a training that was interrupted goes on as it would
        have.

        Raises:
            StepFailed: loss or gradient is no finite number, or a single row does not fit into memory.
        """
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        own = sum(self.target.weight(part["labels"]) for part in batch)
        weight = max(1, self._of_all_devices(own))  # nothing may be hidden in texts without a word
        for _ in range(self._halvings):
            batch = batches.halved(batch)
        moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        while True:
            self._seed_dropout()
            for parameter in moved:
                parameter.grad = None
            try:
                summed = self._gradients(batch, weight)
            except (RuntimeError, MemoryError) as error:
                batch = self._smaller(batch, error)
            else:
                break
            memory.give_back()  # now that the error, and what it held, is gone
        length = nn.utils.clip_grad_norm_(moved, self.optimization.clip or math.inf).item()
        for what, value in (("loss", summed), ("gradient's length", length)):
            if not math.isfinite(value):
                raise StepFailed(
                    f"The {what} became {value} in epoch {self.current_epoch + 1}, batch {index + 1}.",
                    hint="Try a lower learning_rate, or precision=32.",
                )
        optimizer.step()
        scheduler.step()
        self.train_loss += (summed - self.train_loss) * own / max(1, self._seen + own)
        self._seen += own

    def _seed_dropout(self) -> None:
        """Seed the generators that dropout draws from; `torch.manual_seed` takes as long as a step of a head."""
        seed = hash((self._seed, self.trainer.global_step, self.trainer.global_rank)) & (2**63 - 1)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def epoch_loss(self) -> float:
        """Give the mean loss of the epoch so far, over all processes, each of which must ask."""
        if self.trainer.world_size == 1:
            return self.train_loss
        return float(self.trainer.strategy.reduce(torch.tensor(self.train_loss, device=self.device), reduce_op="mean"))

    def _gradients(self, batch: Batch, weight: int) -> float:
        """Sum the gradients of a batch, part by part; give its loss, as this process's share of the mean."""
        summed = 0.0
        for number, part in enumerate(batch, start=1):
            with contextlib.nullcontext() if number == len(batch) else self._unsynchronised():
                loss = self.target.loss(self.network(part), part["labels"]) * (self.trainer.world_size / weight)
                self.manual_backward(loss)
            summed += loss.item()
        return summed

    def _smaller(self, batch: Batch, error: Exception) -> Batch:
        """Halve the parts of a batch that did not fit into memory, and those of all later ones.

        Raises:
            StepFailed: they are single rows, or other processes wait for this one.
        """
        if not memory.is_exhausted(error):
            raise error
        if self.trainer.world_size > 1 or all(len(part["labels"]) == 1 for part in batch):
            raise memory.exhausted("A training step", error) from error
        self._halvings += 1
        say(f"A training step did not fit into memory: it is taken in parts of 1/{2**self._halvings} from here on.")
        if memory.do_without_code(error):
            say("It is computed without oneDNN from here on, which found no memory for its own needs, and is slower.")
        return batches.halved(batch)

    def on_train_start(self) -> None:
        self.on_train_epoch_start()  # Lightning leaves that out where it goes on within an epoch

    def on_train_epoch_start(self) -> None:
        if self._epoch != self.current_epoch:
            self._epoch, self.train_loss, self._seen = self.current_epoch, 0.0, 0
        self.network.train()  # transformers loads models in evaluation mode, and Lightning keeps the mode it finds
        hold_frozen_still(self.network)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["dlops"] = {"epoch": self._epoch, "train_loss": self.train_loss, "seen": self._seen}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = checkpoint["dlops"]
        self._epoch, self.train_loss, self._seen = kept["epoch"], kept["train_loss"], kept["seen"]

    def validation_step(self, batch: Batch, index: int) -> None:
        del index
        for part in batch:
            self._answers.append(self.target.answers(self.network(part), part["labels"]))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self._judge(self.trainer.val_dataloaders)

    def on_test_epoch_end(self) -> None:
        self._judge(self.trainer.test_dataloaders)

    def _judge(self, loader: Any) -> None:
        """Judge all answers of a pass, those of every process, in the order of the rows."""
        told = ranks.gathered((self._answers, batches.order(loader)))
        logits, targets = (torch.cat(parts) for parts in zip(*(one for own, _ in told for one in own), strict=True))
        place_of = {row: place for place, row in enumerate(row for _, rows in told for row in rows)}
        places = torch.tensor([place_of[row] for row in sorted(place_of)])
        self.result = self.target.evaluation(logits[places], targets[places])
        self._answers = []

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW (Loshchilov & Hutter, 2019); no weight decay on biases and norms."""
        fused = self.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(self._groups(), fused=fused)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rates(self.optimization, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _groups(self) -> list[dict[str, Any]]:
        chosen = self.optimization
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in trainable(self.network):
            fresh = self.network.is_head(name) or "lora_" in name  # so peft calls what it adds
            rate = chosen.head_learning_rate if fresh else chosen.learning_rate
            decay = chosen.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()]

    def _of_all_devices(self, own: int) -> int:
        """Add up what the devices have."""
        if self.trainer.world_size == 1:
            return own
        return int(self.trainer.strategy.reduce(torch.tensor(float(own), device=self.device), reduce_op="sum"))

    @contextlib.contextmanager
    def _unsynchronised(self) -> Iterator[None]:
        """Keep the devices from exchanging gradients, which the last micro-batch does for all."""
        strategy = self.trainer.strategy
        wait = getattr(strategy, "block_backward_sync", contextlib.nullcontext)
        with wait():
            yield


def hold_frozen_still(model: nn.Module) -> None:
    """Put modules without a trainable parameter into evaluation mode: no dropout, no moving averages."""
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def rates(chosen: Optimization, steps: int) -> Callable[[int], float]:
    """Give what share of its peak each step's rate is."""
    warm = max(1, round(chosen.warm_up * steps))

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        if chosen.schedule == "constant":
            return 1.0
        gone = min(1.0, (step - warm) / max(1, steps - warm))
        return (1 + math.cos(math.pi * gone)) / 2 if chosen.schedule == "cosine" else 1 - gone

    return rate
