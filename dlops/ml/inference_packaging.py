"""A classifier packaged with its inference pipeline: one pyfunc model that holds all of it, and refers to nothing."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import ColSpec, DataType, Object, Property, Schema

from dlops.config import inference
from dlops.config.inference import Inference
from dlops.data import languages, scratch, text_cleaning
from dlops.errors import StepFailed, UsageError
from dlops.ml import datasets, packaging
from dlops.ml.inference_pipeline import COLUMNS, META
from dlops.registry import lineage

NAME = "pipeline"
_CODE = Path(__file__).with_name("inference_pipeline.py")
_REQUIREMENTS = ("mlflow", "pandas", "pyyaml", "py3langid")


def declared(text: str | None) -> Inference | None:
    """Read what was declared; `None` where nothing was.

    Raises:
        UsageError: it is wrong, or names a language that nothing here tells.
    """
    if not text:
        return None
    problems: list[str] = []
    found = inference.parse(text, problems)
    unknown = sorted(set(found.languages) - languages.known())
    problems += [f"languages: {code} is none that is recognised" for code in unknown]
    if problems:
        raise UsageError("inference_pipeline is wrong.", problems=problems)
    return found


def tags(classifier: str, pipeline: Inference) -> dict[str, str]:
    """Say what a package is made of: two with the same tags give the same answers."""
    code = [Path(str(module.__file__)).read_bytes() for module in (languages, text_cleaning)]
    parts = [json.dumps(vars(pipeline), sort_keys=True).encode(), _CODE.read_bytes(), *code]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return {"dlops_classifier": classifier, "dlops_inference_pipeline": digest}


def log(classifier: str, pipeline: Inference, *, dataset: str, name: str) -> str:
    """Package the classifier, and give the package's `models:/m-…` URI; it is logged on the run that is open.

    Where the classifier does not know how its data was cleaned, `cleaning: ingest` is as the `dataset` was; `name` is
    that of the registered model that it is meant for.

    Raises:
        StepFailed: the classifier's files cannot be read, or nobody knows how the data was cleaned.
    """
    info = mlflow.models.get_model_info(classifier)
    made: dict[str, Any] = info.metadata or {}
    run_id = made.get("run_id") or info.run_id
    settings = {
        "cleaning": _switches(pipeline, made, dataset),
        "languages": pipeline.languages,
        "others": pipeline.others,
        "cache": pipeline.cache,
        "model": {"name": name, "version": None, "run_id": run_id},
    }
    with scratch.folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (folder / "classifier").mkdir()
        inside = Path(mlflow.artifacts.download_artifacts(classifier, dst_path=str(folder / "classifier")))
        (inside / META).unlink(missing_ok=True)
        (folder / "settings.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        logged = _logged(
            name=NAME,
            artifact_path=None,
            flavor=mlflow.pyfunc,
            python_model=str(_CODE),
            artifacts={
                "classifier": str(inside),
                "settings": str(folder / "settings.json"),
                "cleaning": str(text_cleaning.__file__),
                "language": str(languages.__file__),
            },
            signature=_signature(info.signature),
            pip_requirements=_requirements(inside),
            metadata={**made, "run_id": run_id, "inference_pipeline": settings},
            tags={lineage.MADE_OF: classifier},
        )
    return str(logged.model_uri)


def _logged(**words: Any) -> Any:
    try:
        return Model.log(**words)
    except MlflowException as error:
        raise StepFailed(f"The package cannot be logged: {error.message}") from error


def _switches(pipeline: Inference, made: Mapping[str, Any], dataset: str) -> dict[str, Any] | None:
    """Say how texts are cleaned; `None` if they are not."""
    if pipeline.cleaning == "none":
        return None
    if not isinstance(pipeline.cleaning, str):
        return dict(pipeline.cleaning)
    ingested = made.get("cleaning") or datasets.cleaning(dataset)
    if ingested is None:
        raise StepFailed(
            "inference_pipeline: cleaning: nobody knows how the data was cleaned that the model was trained on.",
            hint="Say so: cleaning: none, or cleaning: {html: true, unicode: NFC, whitespace: true}.",
        )
    return {name: ingested[name] for name in ("html", "unicode", "whitespace")}


def _signature(classifier: ModelSignature) -> ModelSignature:
    """Take the texts that the classifier takes; give what it gives, the language, and which model answered."""
    text = DataType.string
    known = {column.name: column for column in classifier.outputs or () if column.name in ("label", "scores")}
    model = Object([Property(name, text, required=False) for name in ("name", "version", "run_id")])
    return ModelSignature(
        inputs=Schema([ColSpec(text, name) for name in COLUMNS[: len(classifier.inputs)]]),
        outputs=Schema(
            [
                known.get("label", ColSpec(text, "label")),
                ColSpec(DataType.double, "score"),
                *([known["scores"]] if "scores" in known else []),
                ColSpec(text, "language"),
                ColSpec(model, "model"),
            ]
        ),
    )


def _requirements(classifier: Path) -> list[str]:
    """Add to the classifier's own requirements what the pipeline needs, in the versions that are here."""
    file = classifier / "requirements.txt"
    own = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    named = {_distribution(line) for line in own}
    return [*own, *packaging.pinned(name for name in _REQUIREMENTS if name not in named)]


def _distribution(line: str) -> str:
    """Name what a line of a file of requirements asks for; nothing where it is an option or a comment."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        return str(canonicalize_name(Requirement(line).name))
    except InvalidRequirement:
        return ""
