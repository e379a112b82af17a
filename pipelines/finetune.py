"""Fine-tune a pretrained model on an ingested dataset, and say whether it was worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dlops.data.labels import NONE
from dlops.ml import (
    backbones,
    baselines,
    combinations,
    datasets,
    fine_tuning,
    hardware,
    logged_models,
    model_card,
    packaging,
    pictures,
    pretraining,
    ranks,
    ray_nodes,
    record,
    report,
    step,
    targets,
    training,
    user_callbacks,
)
from dlops.ml.backbones import Location
from dlops.ml.datasets import Dataset
from dlops.ml.evaluation import Evaluation
from dlops.ml.hardware import Arithmetic
from dlops.ml.progress import say
from dlops.ml.settings import Finetune
from dlops.ml.training import Trained

_SHOWN = 20


def finetune(settings: Finetune) -> None:
    """Read the dataset, train, test beside the baselines, log figures, pictures and the model."""
    combinations.check(settings)
    user_callbacks.load(settings.callbacks)
    location = backbones.locate(
        settings.model, trust_remote_code=settings.trust_remote_code, allow_pickle=settings.allow_pickle
    )
    _log_foundation(location)
    arithmetic = hardware.arithmetic(settings.precision, settings.accelerator)
    devices = fine_tuning.devices(settings, arithmetic)
    if arithmetic.bf16 and not hardware.has_bf16(arithmetic.accelerator):
        say("Warning: this hardware has no bf16 and emulates it, many times slower than precision=auto.")
    gpus = devices.count if arithmetic.accelerator == "gpu" else 0
    with record.system_metrics(), ray_nodes.joined(devices.nodes, gpus=gpus):
        learn = _learn_language if settings.objective == "mlm" else _learn_labels
        learn(settings, location, arithmetic)


def _learn_labels(settings: Finetune, location: Location, arithmetic: Arithmetic) -> None:
    """Train on the labels once for each seed, keep the best, log it beside its baselines."""
    dataset = datasets.open(settings.dataset)
    _log_dataset(dataset)
    _tell_unused(settings, dataset)
    balanced = settings.class_weights == "balanced"
    target = targets.of(dataset.kind, dataset.labels, dataset.train.labels, balanced=balanced)
    settings = replace(settings, head=fine_tuning.head(settings))

    trainings: list[Trained] = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        training.seed(seed)
        network, tokenizer = backbones.load(location, target, head=settings.head, attention=arithmetic.attention)
        if not trainings:
            told = f"{network.size / 1e6:.1f} million weights, {settings.strategy}, head {settings.head}, {arithmetic}"
            say(f"Model {settings.model}: {told}")
            rows = fine_tuning.rows(dataset, tokenizer, target, settings, arithmetic)
        trained = fine_tuning.fit(network, rows, target, settings, seed, arithmetic)
        told = f"Seed {seed}: trained" if settings.seeds > 1 else "Trained"
        say(f"{told} in {trained.seconds:.0f} s; the weights of epoch {trained.best_epoch} are kept")
        if not trainings or trained.score > max(before.score for before in trainings):
            best, chosen, kept = network, trained, seed
        trainings.append(trained)
    if not ranks.is_first():
        return

    rivals = baselines.evaluations(dataset)
    spread = report.spread(trainings) if len(trainings) > 1 else {}
    found = report.summary(settings, dataset, chosen, rivals, trainings, revision=location.revision)
    _log_report(settings, dataset, chosen, rivals, found, spread)
    card = model_card.markdown(found, intended_use=settings.intended_use)
    record.text("model_card.md", card)
    uri = packaging.log(
        *(best, tokenizer, dataset),
        max_length=settings.max_length,
        backbone=settings.model,
        revision=location.revision,
        card=card,
    )
    record.output("model", uri)
    if spread:
        figure = f"Test {report.named(found['headline'])} of {settings.seeds} seeds: {report.spread_of(spread)}"
        say(f"{figure}; the model of seed {kept} is kept")
    say(found["verdict"])
    if found["warning"]:
        say(f"Warning: {found['warning']}.")
    say(f"Model {uri}")


def _learn_language(settings: Finetune, location: Location, arithmetic: Arithmetic) -> None:
    """Go on with the model's pre-training on the texts alone; what comes of it is a foundation for a next run."""
    dataset = datasets.open(settings.dataset, labelled=False)
    _log_dataset(dataset)
    _tell_unused(settings, dataset)
    training.seed(settings.seed)
    network, tokenizer = backbones.load_masked(location, attention=arithmetic.attention)
    say(f"Model {settings.model}: {network.size / 1e6:.1f} million weights, {settings.strategy}, {arithmetic}")
    before, trained, judged_on = pretraining.fit(network, tokenizer, dataset, settings, arithmetic)
    if not ranks.is_first():
        return

    low, high = trained.test.intervals()["perplexity"]
    record.metrics(
        {
            **trained.test.metrics("test"),
            **before.metrics("before_test"),
            "test_perplexity_low": low,
            "test_perplexity_high": high,
            "train_seconds": trained.seconds,
        },
        step=trained.best_epoch,
    )
    record.picture(
        "curves.png", pictures.curves(trained.epochs, trained.best_epoch, f"{settings.model}\n{dataset.name}")
    )
    uri = packaging.log_foundation(network, tokenizer, dataset, backbone=settings.model, revision=location.revision)
    record.output("model", uri)
    rows = f"{trained.test.rows} {judged_on} rows"
    interval = f"95 % interval {low:.2f} to {high:.2f}"
    say(f"Perplexity of hidden tokens on {rows}: {trained.test.value:.2f} ({interval}), before {before.value:.2f}")
    say(f"Model {uri}: fine-tune it with model={uri}")


def _log_foundation(location: Location) -> None:
    """Record what the model's name stands for now: a branch, an alias or a run's output may be another tomorrow."""
    if location.reference:
        say(f"The model {location.name} is {location.reference}")
        record.resolved("model", location.reference)
    if model_id := logged_models.model_id(location.revision):
        record.model_input(model_id)


def _tell_unused(settings: Finetune, dataset: Dataset) -> None:
    for told in combinations.unused(settings, dataset):
        say(f"Note: {told}.")


def _log_dataset(dataset: Dataset) -> None:
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
        context="training",
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
    record.picture("curves.png", pictures.curves(trained.epochs, trained.best_epoch, title))
    ends = test.intervals()[name]
    record.picture("baselines.png", pictures.baselines(bars, ends, f"test {report.named(name)}", tested))
    record.document("summary.json", found)
    record.text("summary.md", report.markdown(found))


if __name__ == "__main__":
    step.main(Finetune, finetune)
