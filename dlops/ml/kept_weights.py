"""What a trial's training has changed, kept as an artifact of its run: for the winner's model, and to begin with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mlflow import MlflowClient
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dlops.data import scratch
from dlops.errors import StepFailed
from dlops.ml import record
from dlops.ml.networks import Network

FILE = "weights.safetensors"
_NAMES = "names"


def keep(network: Network, names: Sequence[str], *, head: bool) -> None:
    """Keep a network's weights, or those of its `head` alone, and the `names` of its outputs."""
    weights = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in network.state_dict().items()
        if not head or network.is_head(name)
    }
    with scratch.folder() as folder:
        save_file(weights, folder / FILE, metadata={_NAMES: json.dumps(list(names))})
        record.file(folder / FILE)


def load(network: Network, names: Sequence[str], run_id: str, *, head: bool) -> None:
    """Give a network the weights that a run has kept, which are those of the `head` alone or of all.

    Raises:
        StepFailed: the run has none, or they are those of another network, or of outputs with other `names`.
    """
    with scratch.folder() as folder:
        try:
            file = Path(MlflowClient().download_artifacts(run_id, FILE, str(folder)))
            weights = load_file(file)
            with safe_open(file, framework="pt") as opened:
                told = json.loads((opened.metadata() or {}).get(_NAMES, "[]"))
            if told != list(names):
                raise ValueError(f"they are for the labels {', '.join(told)}, and not {', '.join(names)}")
            if head and (others := [name for name in weights if not network.is_head(name)]):
                raise ValueError(f"they are not of a head alone: {others[0]}")
            if unknown := network.load_state_dict(weights, strict=False).unexpected_keys:
                raise ValueError(f"they are of another network: {unknown[0]}")
        except Exception as error:  # each kind of store has errors of its own
            raise StepFailed(f"The weights that run {run_id} has kept cannot be read: {error}") from error
