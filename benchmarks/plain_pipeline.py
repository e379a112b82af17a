"""A pipeline of transformers, a text at a time, as people write it; prints the seconds that a text took."""

from __future__ import annotations

import sys
import time

import mlflow
import pandas as pd


def main() -> None:
    """Answer the column `text` of a CSV file with a logged model."""
    model, file = sys.argv[1:]
    pipeline = mlflow.transformers.load_model(model)
    texts = pd.read_csv(file)["text"].tolist()
    pipeline(texts[:4], truncation=True)
    began = time.perf_counter()
    pipeline(texts, truncation=True, batch_size=1)
    print((time.perf_counter() - began) / len(texts))


if __name__ == "__main__":
    main()
