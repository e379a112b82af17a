"""What people write by hand: a search with Ray Tune after its tutorials, one process a trial.

It imports nothing of dlops. `head` trains a linear head on features that a frozen backbone gave before, which lie in a
file; `nothing` reports three numbers. What is printed is the seconds that the search took, Ray's start not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from safetensors.torch import load_file

EPOCHS = 3
BATCH_SIZE = 16


def head(config: dict[str, Any], file: str) -> None:
    """Train a head on features, and report the accuracy on the val rows after each epoch."""
    given = load_file(file)
    train = torch.utils.data.TensorDataset(given["train_features"].flatten(1), given["train_labels"])
    layer = torch.nn.Linear(given["train_features"].flatten(1).shape[1], 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=config["learning_rate"])
    for _ in range(EPOCHS):
        for rows, labels in torch.utils.data.DataLoader(train, batch_size=config["batch_size"], shuffle=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(rows), labels).backward()
            optimizer.step()
        with torch.no_grad():
            right = layer(given["val_features"].flatten(1)).argmax(1) == given["val_labels"]
        tune.report({"score": right.float().mean().item()})


def nothing(config: dict[str, Any]) -> None:
    """Report as many numbers as a training of three epochs does."""
    for epoch in range(EPOCHS):
        tune.report({"score": config["learning_rate"] + epoch})


def main() -> None:
    """Search, and print the seconds as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("objective", choices=["head", "nothing"])
    parser.add_argument("--features", type=Path)
    parser.add_argument("--trials", type=int, required=True)
    asked = parser.parse_args()
    objective = tune.with_parameters(head, file=str(asked.features)) if asked.objective == "head" else nothing
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else Ray leaves one in the home
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(objective, {"cpu": 1}),
            param_space={"learning_rate": tune.loguniform(1e-4, 1e-1), "batch_size": tune.choice([8, 16, 32])},
            tune_config=tune.TuneConfig(metric="score", mode="max", num_samples=asked.trials),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        began = time.monotonic()
        results = tuner.fit()
        seconds = time.monotonic() - began
    assert not results.errors
    print(json.dumps({"seconds": seconds, "best": results.get_best_result().metrics["score"]}))


if __name__ == "__main__":
    main()
