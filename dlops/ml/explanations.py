"""Explanations as data: rows of a table, files that shap reads, words instead of tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dlops.ml.attributions.methods import Attribution, Method
from dlops.ml.evaluation import Array

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.string()),
        ("target", pa.string()),
        ("output", pa.float64()),
        ("base", pa.float64()),
        ("error", pa.float64()),
        ("method", pa.string()),
        ("text", pa.string()),
        ("tokens", pa.list_(pa.string())),
        ("values", pa.list_(pa.float64())),
        ("disagrees", pa.bool_()),
    ]
)
_ABOUT = b"dlops"
"""Name of the table's metadata that are ours."""


@dataclass(frozen=True)
class Explanation:
    """Why the model answered a text as it did."""

    id: str
    label: str | None
    """What the data says, where it says something."""
    target: str
    """The label whose probability is explained; of numbers the label's name."""
    output: float
    base: float
    error: float
    """How far base and values together are from the output."""
    method: Method
    text: str
    """As much of it as the model reads."""
    tokens: list[str]
    values: Array
    """How much each token adds to the output, [tokens]."""
    disagrees: bool = False
    """Whether the model's likeliest label is explained, and the data has another one."""

    @classmethod
    def of(
        cls,
        found: Attribution,
        *,
        id: str,  # noqa: A002 - the column's name
        label: Any,
        target: str,
        disagrees: bool = False,
    ) -> Explanation:
        """Name what an attribution is of."""
        return cls(
            id=id,
            label=None if label is None else str(label),
            target=target,
            output=found.output,
            base=found.base,
            error=found.error,
            method=found.method,
            text=found.text,
            tokens=found.tokens,
            values=np.asarray(found.values, np.float64),
            disagrees=disagrees,
        )

    def words(self) -> list[tuple[str, float]]:
        """Give the text's words with what they add, in their order: letters that nothing parts are one word."""
        found: list[tuple[str, float]] = []
        before = ""
        for token, value in zip(self.tokens, self.values.tolist(), strict=True):
            if before[-1:].isalnum() and token[:1].isalnum():
                found[-1] = (found[-1][0] + token.strip(), found[-1][1] + value)
            elif token.strip():
                found.append((token.strip(), value))
            before = token
        return found


def write(rows: Sequence[Explanation], about: Mapping[str, Any], file: Path) -> None:
    """Write explanations as a table, and plain values `about` them beside it."""
    columns = {name: [getattr(row, name) for row in rows] for name in SCHEMA.names}
    pq.write_table(pa.table(columns, SCHEMA.with_metadata({_ABOUT: json.dumps(dict(about))})), file)


def read(file: Path) -> tuple[list[Explanation], dict[str, Any]]:
    """Read what `write` wrote.

    Raises:
        OSError: it is not whole.
    """
    try:
        table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise OSError(f"{file.name}: {error}") from error
    rows = [Explanation(**{**row, "values": np.array(row["values"], np.float64)}) for row in table.to_pylist()]
    return rows, json.loads((table.schema.metadata or {}).get(_ABOUT, b"{}"))


def npz(rows: Iterable[Explanation], file: Path) -> None:
    """Write arrays that numpy reads without pickles, and `shap.Explanation` takes: those of all rows end to end.

    The tokens of row n are `offsets[n]` to `offsets[n + 1]` of `values`; `base_values` are [rows]. Token t is the bytes
    (UTF-8) `token_offsets[t]` to `token_offsets[t + 1]` of `data`: one long token does not make all others long.
    """
    values, tokens, offsets, base, ids = [], [], [0], [], []
    for row in rows:
        values.append(row.values)
        tokens += row.tokens
        offsets.append(len(tokens))
        base.append(row.base)
        ids.append(row.id)
    np.savez_compressed(
        file,
        values=np.concatenate([np.empty(0), *values]),
        data=np.frombuffer("".join(tokens).encode(), np.uint8),
        token_offsets=np.cumsum([0, *(len(token.encode()) for token in tokens)]),
        offsets=np.array(offsets, np.int64),
        base_values=np.array(base, np.float64),
        ids=np.array(ids, dtype=str),
    )
