"""The process that an engine lives in: a line of JSON asks, a line of JSON answers, on the socket it was given."""

from __future__ import annotations

import importlib
import json
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlops.ml.engines.engine import Engine

AHEAD = {"graph": ("onnxruntime", "tokenizers"), "torch": ("torch", "transformers"), "pyfunc": ("mlflow.pyfunc",)}
"""What is imported while the caller still looks for the folder, by the reader that is likely."""


def main() -> None:
    """Load the engine that is named first, then answer until the socket is closed.

    SIGTERM and SIGINT are for whoever holds the other end, which closes it when all is answered.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    descriptor, likely = int(sys.argv[1]), sys.argv[2]
    for name in AHEAD.get(likely, ()):
        importlib.import_module(name)
    engine: Engine | None = None
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rwb") as stream:
        for line in stream:
            asked = json.loads(line)
            try:
                if "load" in asked:
                    from dlops.ml.engines import engine as engines

                    engine = engines.load(Path(asked["load"]), **asked["how"])
                    told: dict[str, Any] = {"loaded": True}
                else:
                    assert engine
                    told = {"answers": engine.answers(asked["rows"])}
            except Exception as error:  # whatever a model raises is told, and the next is answered
                traceback.print_exc()
                told = {"error": f"{type(error).__name__}: {error}"}
            stream.write(_line(told))
            stream.flush()


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


if __name__ == "__main__":
    main()
