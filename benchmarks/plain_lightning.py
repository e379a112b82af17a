"""What people write by hand: fine-tune a text classifier with PyTorch Lightning, after its tutorials.

It imports nothing of dlops. Texts are tokenized once, before the training; all else is as Lightning and transformers
have it by default: float32, every text padded to the full length, two batches of validation to begin with.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import MLFlowLogger
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

MAX_LENGTH = 256
BATCH_SIZE = 16
WARM_UP = 0.1
LEARNING_RATES = {"freeze": 1e-3, "no_freeze": 1e-4}
"""Of a fresh head alone, and of a small pretrained model: what dlops takes by default."""


class Classifier(pl.LightningModule):  # type: ignore[misc]  # Lightning has no types for us
    """A pretrained model under a fresh head."""

    def __init__(self, folder: Path, labels: int, strategy: str) -> None:
        super().__init__()
        self.model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=labels, use_safetensors=True
        )
        self.learning_rate = LEARNING_RATES[strategy]
        if strategy == "freeze":
            self.model.base_model.requires_grad_(False)
        else:
            self.model.train()  # from_pretrained leaves dropout off, and Lightning leaves that as it is

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        del index
        loss: torch.Tensor = self._answer(batch).loss
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        del index
        self.log("val_loss", self._answer(batch).loss)

    def predict_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        del index
        places: torch.Tensor = self._answer(batch).logits.argmax(dim=1)
        return places

    def _answer(self, batch: list[torch.Tensor]) -> Any:
        ids, mask, labels = batch
        return self.model(input_ids=ids, attention_mask=mask, labels=labels)

    def configure_optimizers(self) -> dict[str, Any]:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = get_linear_schedule_with_warmup(optimizer, int(WARM_UP * steps), steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Clock(pl.Callback):  # type: ignore[misc]  # Lightning has no types for us
    """Notes when the first step was done, and how long each epoch took with its validation."""

    def __init__(self) -> None:
        self.first_step_at = 0.0
        self.epoch_seconds: list[float] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        del trainer, module
        self._started = time.monotonic()

    def on_train_batch_end(self, *told: Any) -> None:
        del told
        self.first_step_at = self.first_step_at or time.time()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        del trainer, module
        self.epoch_seconds.append(time.monotonic() - self._started)


def main() -> None:
    """Train, predict the test rows, write what was measured."""
    chosen = _arguments()
    pl.seed_everything(chosen.seed)
    rows = pd.read_parquet(chosen.rows)
    labels = sorted(rows["label"].unique())
    tokenizer = AutoTokenizer.from_pretrained(chosen.model)

    def loader(split: str) -> DataLoader[Any]:
        some = rows[rows["split"] == split]
        tokens = tokenizer(
            some["text"].tolist(), padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        places = torch.tensor([labels.index(label) for label in some["label"]])
        dataset = TensorDataset(tokens["input_ids"], tokens["attention_mask"], places)
        return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=split == "train")

    train, val = loader("train"), loader("val")
    model, clock = Classifier(chosen.model, len(labels), chosen.strategy), Clock()
    trainer = pl.Trainer(
        max_epochs=chosen.epochs,
        logger=MLFlowLogger(experiment_name="plain"),
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    started = time.monotonic()
    trainer.fit(model, train, val)
    seconds = time.monotonic() - started
    predicted = torch.cat(trainer.predict(model, loader("test")))
    found = {
        "epoch_seconds": clock.epoch_seconds,
        "train_seconds": seconds,
        "first_step_at": clock.first_step_at,
        "predicted": [labels[place] for place in predicted.tolist()],
        "labels": rows.loc[rows["split"] == "test", "label"].tolist(),
    }
    chosen.out.write_text(json.dumps(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="Parquet file with the columns text, label, split")
    parser.add_argument("--model", type=Path, required=True, help="folder of a pretrained model")
    parser.add_argument("--out", type=Path, required=True, help="JSON file that tells what was measured")
    parser.add_argument("--strategy", choices=LEARNING_RATES, default="no_freeze")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
