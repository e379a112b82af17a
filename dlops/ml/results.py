"""What a training leaves on its run beside its curves: data, foundation, figures, pictures, card and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlops.data.labels import NONE
from dlops.ml import baselines, hardware, logged_models, model_card, packaging, pictures, record, report
from dlops.ml.backbones import Location
from dlops.ml.datasets import Dataset
from dlops.ml.evaluation import Evaluation
from dlops.ml.networks import Network
from dlops.ml.progress import say
from dlops.ml.settings import Finetune
from dlops.ml.training import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN = 20


def model(
    settings: Finetune,
    location: Location,
    dataset: Dataset,
    network: Network,
    tokenizer: PreTrainedTokenizerBase,
    chosen: Trained,
    trainings: Sequence[Trained] = (),
) -> str:
    """Log a trained network as a model, with its report beside its baselines; give its URI, the output `model`.

    `chosen` is the one of `trainings` that it came of.
    """
    rivals = baselines.evaluations(dataset)
    spread = report.spread(trainings) if len(trainings) > 1 else {}
    found = report.summary(settings, dataset, chosen, rivals, trainings, revision=location.revision)
    _log_report(settings, dataset, chosen, rivals, found, spread)
    card = model_card.markdown(found, intended_use=settings.intended_use)
    record.text("model_card.md", card)
    uri = untested(settings, location, dataset, network, tokenizer, card=card)
    say(found["verdict"])
    if found["warning"]:
        say(f"Warning: {found['warning']}.")
    say(f"Model {uri}")
    return uri


def untested(
    settings: Finetune,
    location: Location,
    dataset: Dataset,
    network: Network,
    tokenizer: PreTrainedTokenizerBase,
    *,
    card: str = "",
) -> str:
    """Log a trained network as a model, and no more; give its URI, the output `model`."""
    uri = packaging.log(
        *(network, tokenizer, dataset),
        max_length=settings.max_length,
        backbone=settings.model,
        revision=location.revision,
        card=card,
    )
    record.tag("hardware", hardware.described())
    record.output("model", uri)
    return uri


def foundation(location: Location) -> None:
    """Record what the model's name stands for now: a branch, an alias or a run's output may be another tomorrow."""
    if location.reference:
        say(f"The model {location.name} is {location.reference}")
        record.resolved("model", location.reference)
    if model_id := logged_models.model_id(location.revision):
        record.model_input(model_id)


def data(dataset: Dataset, *, context: str = "training") -> None:
    """Record which data the run reads, and what for, and say how much it is."""
    counts = f"{len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test rows"
    say(f"Dataset {dataset.reference}: {counts}, {_told(dataset)}")
    if dataset.synthetic:
        say(f"The data is synthetic: {dataset.source}")
    record.resolved("dataset", dataset.reference)
    record.dataset(
        name=dataset.name,
        uri=dataset.uri,
        version=dataset.version,
        digest=dataset.digest,
        context=context,
        synthetic=dataset.synthetic,
        labelled=dataset.kind != NONE,
    )


def _told(dataset: Dataset) -> str:
    if dataset.kind == NONE:
        return "labels are not read"
    what = {"classes": "labels", "multilabel": "any of the labels"}.get(dataset.kind)
    names = ", ".join(dataset.labels[:_SHOWN]) + (" …" if len(dataset.labels) > _SHOWN else "")
    return f"{what} {names}" if what else "labels are numbers"


def _log_report(
    settings: Finetune,
    dataset: Dataset,
    trained: Trained,
    rivals: Mapping[str, Evaluation],
    found: Mapping[str, Any],
    spread: Mapping[str, float],
) -> None:
    """Log the test's figures beside the baselines', the pictures and the summary."""
    test, name = trained.test, trained.test.headline
    intervals = {
        f"test_{figure}_{end}": value
        for figure, ends in test.intervals().items()
        for end, value in zip(("low", "high"), ends, strict=True)
    }
    record.metrics(
        {
            **test.metrics("test", per_class=True),
            **(trained.val.metrics("best_val") if trained.val else {}),
            **{f"seeds_test_{name}_{what}": value for what, value in spread.items()},
            **intervals,
            **{f"baseline_{rival}_test_{name}": rated.value for rival, rated in rivals.items()},
            "train_seconds": trained.seconds,
        },
        step=trained.best_epoch,
    )
    title = f"{settings.model[-50:]}\n{dataset.name}{' (synthetic data)' if dataset.synthetic else ''}"
    tested = f"{title}, {test.rows} test rows"
    bars = {baselines.TITLES[rival]: rated.value for rival, rated in rivals.items()} | {"this model": test.value}
    kind = "confusion_matrix.png" if dataset.kind == "classes" else "predictions.png"
    record.picture(kind, pictures.predictions(test, tested))
    if trained.epochs:
        record.picture("curves.png", pictures.curves(trained.epochs, trained.best_epoch, title))
    ends = test.intervals()[name]
    record.picture("baselines.png", pictures.baselines(bars, ends, f"test {report.named(name)}", tested))
    record.document("summary.json", found)
    record.text("summary.md", report.markdown(found))
