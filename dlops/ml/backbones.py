"""Pretrained models: found in a folder, a package, on the hub or in MLflow, and given a head for some labels."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dlops.errors import StepFailed
from dlops.ml import dropout, hub_models, logged_models
from dlops.ml.hardware import Arithmetic
from dlops.ml.logged_models import Folders
from dlops.ml.networks import Averaging, MaskedLanguageModel, Network, Standard
from dlops.ml.targets import Number, Target

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Loaded = TypeVar("Loaded", bound=Network)

_PACKAGE = "package:"
_FILES = ("config.json", "model.safetensors")
_RESERVED = 2
"""Places that RoBERTa and its descendants count but do not give to tokens; two tokens more would end in an error."""

_PROCESSOR = Arithmetic("cpu", bf16=False)


@dataclass(frozen=True)
class Location:
    """What a model's name stands for now, and what its reader may do."""

    name: str
    """As the user wrote it."""
    path: str
    """A folder, a hub id, or the URI of a logged model."""
    revision: str | None = None
    """The hub's commit, or the logged model's URI; a folder has none."""
    trust_remote_code: bool = False
    """Whether code that comes with the model is run."""
    allow_pickle: bool = False
    """Whether weights are read that are no safetensors."""

    @property
    def reference(self) -> str | None:
        """The name that stands for this very model tomorrow too; `None` where there is none."""
        return f"{self.path}@{self.revision}" if self.revision and self.revision != self.path else self.revision


def locate(name: str, *, trust_remote_code: bool = False, allow_pickle: bool = False) -> Location:
    """Find a model: `package:NAME`, a folder, `models:/…`, `runs:/RUN/model`, or a hub id with an optional `@REVISION`.

    Raises:
        StepFailed: there is no such model, or it holds no weights that may be read.
    """

    def found(path: str, revision: str | None = None) -> Location:
        return Location(name, path, revision, trust_remote_code, allow_pickle)

    if name.startswith(_PACKAGE):
        return found(str(_packaged(name.removeprefix(_PACKAGE))))
    if name.startswith(logged_models.SCHEMES):
        uri = logged_models.resolve(name)
        return found(uri, uri)
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check(folder, allow_pickle=allow_pickle)
        return found(str(folder.absolute()))
    path, _, revision = name.partition("@")
    if folder.is_absolute() or name.startswith((".", "~")) or path.count("/") > 1:
        raise StepFailed(f"There is no folder {name}.", hint="Name a folder, a hub id or package:NAME.")
    return found(path, hub_models.resolve(path, revision or None))


def load(
    location: Location, target: Target, *, head: str = "standard", arithmetic: Arithmetic = _PROCESSOR
) -> tuple[Network, PreTrainedTokenizerBase]:
    """Load weights and tokenizer under a fresh head for the target: `standard`, `mean` or `all_layers`.

    Only safetensors are read and no code that comes with a model is run, unless the location allows it; pickles are
    read as torch reads weights alone.

    Raises:
        StepFailed: the model cannot be read or reached, needs what is not allowed, or is no encoder that classifies.
    """
    from transformers import AutoModel, AutoModelForSequenceClassification

    names = dict(enumerate(target.names))
    model, tokenizer, told = _read(
        location,
        AutoModelForSequenceClassification if head == "standard" else AutoModel,
        arithmetic.attention,
        num_labels=len(names),
        id2label=names,
        label2id={label: place for place, label in names.items()},
        problem_type=target.problem_type,
    )
    if head != "standard":
        averaging = Averaging(model, len(target.names), every=head == "all_layers")
        return _sped_up(averaging, arithmetic), tokenizer
    if not hasattr(model, model.base_model_prefix):
        raise StepFailed(
            f"The model {location.name} does not tell its head from its layers.",
            hint="Its class should name them in base_model_prefix; head=mean needs no such thing.",
        )
    network = Standard(model)
    if isinstance(target, Number) and network.last.bias is None:
        raise StepFailed(
            f"The head of {location.name} cannot give a number: it has no bias.", hint="head=mean has one."
        )
    _forget_head(model, {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])})
    return _sped_up(network, arithmetic), tokenizer


def load_masked(
    location: Location, *, arithmetic: Arithmetic = _PROCESSOR
) -> tuple[MaskedLanguageModel, PreTrainedTokenizerBase]:
    """Load weights and tokenizer under the head that guesses hidden tokens: the model's own, or a fresh one.

    Raises:
        StepFailed: as `load` does.
    """
    from transformers import AutoModelForMaskedLM

    model, tokenizer, told = _read(location, AutoModelForMaskedLM, arithmetic.attention)
    return _sped_up(MaskedLanguageModel(model, told["missing_keys"]), arithmetic), tokenizer


def _sped_up(network: Loaded, arithmetic: Arithmetic) -> Loaded:
    """Let a network that a processor computes take its rows without padding, and draw its dropout in less time."""
    if arithmetic.accelerator == "cpu":
        from dlops.ml import packing_trial

        dropout.replace(network)
        network.packing = packing_trial.fitting(network)
    return network


def _read(
    location: Location, kind: Any, attention: str | None, **described: Any
) -> tuple[Any, PreTrainedTokenizerBase, dict[str, Any]]:
    """Read a model of some kind, its tokenizer, and what transformers tells of the weights."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    code: dict[str, Any] = {"trust_remote_code": location.trust_remote_code}
    extra = {"attn_implementation": attention} if attention else {}
    with _brought(location) as folders:
        try:
            config = AutoConfig.from_pretrained(folders.weights, **described, **code)
            _drop_attention_dropout(config)
            tokenizer = AutoTokenizer.from_pretrained(folders.tokenizer, **code)
            _fit_tokenizer(location, tokenizer, config)
            model, told = kind.from_pretrained(
                folders.weights,
                config=config,
                ignore_mismatched_sizes=True,
                use_safetensors=None if location.allow_pickle else True,
                output_loading_info=True,
                **code,
                **extra,
            )
        except (OSError, ValueError, RuntimeError, ImportError, SafetensorError, pickle.UnpicklingError) as error:
            raise _unloaded(location, error) from error
    return model, tokenizer, told


@contextlib.contextmanager
def _brought(location: Location) -> Iterator[Folders]:
    """Have the model's files on this machine, and what is not allowed refused."""
    trusted, pickles = location.trust_remote_code, location.allow_pickle
    if logged_models.is_resolved(location.path):
        with logged_models.fetched(location.path) as folders:
            _check(folders.weights, allow_pickle=pickles, name=location.name)
            yield folders
        return
    folder = Path(location.path)
    if location.revision:
        folder = hub_models.fetch(location.path, location.revision, code=trusted, pickles=pickles)
    _check(folder, allow_pickle=pickles, name=location.name)
    yield Folders(folder, folder)


def _fit_tokenizer(location: Location, tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
    """Let the tokenizer cut texts to the places that the model has, where it knows no such limit.

    Raises:
        StepFailed: it cannot pad, so the model is none that reads several texts at once.
    """
    if tokenizer.pad_token_id is None:
        raise StepFailed(
            f"The model {location.name} has no padding token: it is no encoder of texts.",
            hint="Name one that reads whole texts: BERT, RoBERTa, DeBERTa, MiniLM and the like.",
        )
    places = getattr(config, "max_position_embeddings", None)
    if places and tokenizer.model_max_length > places:
        tokenizer.model_max_length = places - _RESERVED


def _forget_head(model: Any, fresh: Iterable[str]) -> None:
    """Draw a head anew that was trained for other labels: one of as many outputs would stay as it was."""
    backbone = f"{model.base_model_prefix}."
    known = [
        weights for name, weights in model.named_parameters() if not name.startswith(backbone) and name not in fresh
    ]
    if not known:
        return
    for weights in known:
        weights._is_hf_initialized = False  # transformers draws nothing for a tensor that it has read
    for name, module in model.named_children():
        if f"{name}." != backbone:
            module.apply(model._init_weights)


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


def _check(folder: Path, *, allow_pickle: bool, name: str = "") -> None:
    """Refuse a folder that is no model, or whose weights or code are not what the user asked for."""
    what = name or str(folder)
    if not (folder / _FILES[0]).is_file():
        raise StepFailed(f"{what} is no model: it has no {_FILES[0]}.")
    if (folder / "adapter_config.json").is_file():
        raise StepFailed(
            f"{what} is an adapter to another model.", hint="Merge the two (peft's merge_and_unload) and save that."
        )
    for file in (folder / _FILES[0], folder / "tokenizer_config.json"):
        if file.is_file() and "--" in json.dumps(_auto_map(file)):
            raise StepFailed(
                f"{what} refers to code in another repository, which no commit of its own pins.",
                hint="Download both, and name a folder that holds the code as well.",
            )
    if any(folder.glob("model*.safetensors")):
        return
    if not any(folder.glob("pytorch_model*.bin")):
        raise StepFailed(
            f"{what} has no safetensors weights.", hint="Save it with save_pretrained, which writes model.safetensors."
        )
    if not allow_pickle:
        raise StepFailed(
            f"{what} has no safetensors weights, only pickled ones, which are not read unless you say so.",
            hint="Save it with save_pretrained; or set allow_pickle=true if you trust who made it.",
        )


def _auto_map(file: Path) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # transformers tells what is wrong with it
    return found.get("auto_map") if isinstance(found, dict) else {}


def _unloaded(location: Location, error: Exception) -> StepFailed:
    said = str(error).strip().split("\n")[0]
    if not location.trust_remote_code and "trust_remote_code" in str(error):
        return StepFailed(
            f"The model {location.name} needs code that comes with it, which is not run unless you say so.",
            hint="Read that code; if you trust it, set trust_remote_code=true.",
        )
    if isinstance(error, ImportError):
        hint = "Install what its code imports."
    elif isinstance(error, pickle.UnpicklingError):
        hint = "Its file holds more than weights, and may be hostile: save it with save_pretrained where you trust it."
    else:
        hint = "The folder should hold what transformers' save_pretrained writes, tokenizer included."
    return StepFailed(f"The model {location.name} cannot be loaded: {said}", hint=hint)
