"""What a trial's training has changed, kept as an artifact of its run: for the winner's model, and to begin with."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from dlops.data import scratch
from dlops.errors import StepFailed
from dlops.ml import record
from dlops.ml.networks import Network

FILE = "weights.safetensors"


def keep(network: Network, *, head: bool) -> None:
    """Keep a network's weights, or those of its `head` alone."""
    weights = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in network.state_dict().items()
        if not head or network.is_head(name)
    }
    with scratch.folder() as folder:
        save_file(weights, folder / FILE)
        record.file(folder / FILE)


def load(network: Network, run_id: str, *, head: bool) -> None:
    """Give a network the weights that a run has kept, which are those of the `head` alone or of all.

    Raises:
        StepFailed: the run has none, or they are those of another network.
    """
    with scratch.folder() as folder:
        try:
            weights = load_file(Path(MlflowClient().download_artifacts(run_id, FILE, str(folder))))
            if head and (others := [name for name in weights if not network.is_head(name)]):
                raise ValueError(f"they are not of a head alone: {others[0]}")
            if unknown := network.load_state_dict(weights, strict=False).unexpected_keys:
                raise ValueError(f"they are of another network: {unknown[0]}")
        except Exception as error:  # each kind of store has errors of its own
            raise StepFailed(f"The weights that run {run_id} has kept cannot be read: {error}") from error
