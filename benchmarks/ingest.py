"""Read a large CSV file and write it as a table: `python -m benchmarks.ingest dlops|pyarrow|polars FILE`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def _dlops(source: Path, folder: Path) -> None:
    """Clean, check, split and write, with all defaults."""
    command = [sys.executable, "-m", "pipelines.ingest", f"source={source}", f"table={folder / 'table'}"]
    environ = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "DLOPS_HOME": str(folder / "home")}
    environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)


def _pyarrow(source: Path, folder: Path) -> None:
    """Read batches and write each, compressed as dlops compresses."""
    import pyarrow.csv
    import pyarrow.parquet

    lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with pyarrow.csv.open_csv(source, parse_options=lines) as batches:
        file = folder / "table.parquet"
        with pyarrow.parquet.ParquetWriter(file, batches.schema, compression="zstd", compression_level=1) as writer:
            for batch in batches:
                writer.write_batch(batch, row_group_size=16_384)


def _polars(source: Path, folder: Path) -> None:
    """Stream with all threads."""
    import polars as pl

    pl.scan_csv(source).sink_parquet(folder / "table.parquet", compression="zstd", compression_level=1)


_WAYS: dict[str, Callable[[Path, Path], None]] = {"dlops": _dlops, "pyarrow": _pyarrow, "polars": _polars}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        _WAYS[sys.argv[1]](Path(sys.argv[2]).absolute(), Path(name))
