"""Fine-tune a pretrained model on an ingested dataset, and say whether it was worth it."""

from __future__ import annotations

from dataclasses import replace

from dlops.ml import (
    backbones,
    combinations,
    datasets,
    fine_tuning,
    hardware,
    packaging,
    pictures,
    pretraining,
    ranks,
    ray_nodes,
    record,
    report,
    results,
    step,
    targets,
    training,
    user_callbacks,
)
from dlops.ml.backbones import Location
from dlops.ml.datasets import Dataset
from dlops.ml.hardware import Arithmetic
from dlops.ml.progress import say
from dlops.ml.settings import Finetune
from dlops.ml.training import Trained


def finetune(settings: Finetune) -> None:
    """Read the dataset, train, test beside the baselines, log figures, pictures and the model."""
    combinations.check(settings)
    user_callbacks.load(settings.callbacks)
    location = backbones.locate(
        settings.model, trust_remote_code=settings.trust_remote_code, allow_pickle=settings.allow_pickle
    )
    results.foundation(location)
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
    results.data(dataset)
    _tell_unused(settings, dataset)
    balanced = settings.class_weights == "balanced"
    target = targets.of(dataset.kind, dataset.labels, dataset.train.labels, balanced=balanced)
    settings = replace(settings, head=fine_tuning.head(settings))

    trainings: list[Trained] = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        training.seed(seed)
        network, tokenizer = backbones.load(location, target, head=settings.head, arithmetic=arithmetic)
        if not trainings:
            told = f"{network.size / 1e6:.1f} million weights, {settings.strategy}, head {settings.head}, {arithmetic}"
            say(f"Model {settings.model}: {told}")
            micro = fine_tuning.micro_tokens(settings, arithmetic, network)
            rows = fine_tuning.rows(dataset, tokenizer, target, settings, micro)
        prepared = fine_tuning.prepare(network, rows, settings, arithmetic)
        trained = fine_tuning.fit(network, prepared, target, settings, seed, arithmetic)
        told = f"Seed {seed}: trained" if settings.seeds > 1 else "Trained"
        say(f"{told} in {trained.seconds:.0f} s; the weights of epoch {trained.best_epoch} are kept")
        if not trainings or trained.score > max(before.score for before in trainings):
            best, chosen, kept = network, trained, seed
        trainings.append(trained)
    if not ranks.is_first():
        return

    if len(trainings) > 1:
        figures = f"Test {report.named(chosen.test.headline)} of {settings.seeds} seeds"
        say(f"{figures}: {report.spread_of(report.spread(trainings))}; the model of seed {kept} is kept")
    results.model(settings, location, dataset, best, tokenizer, chosen, trainings)


def _learn_language(settings: Finetune, location: Location, arithmetic: Arithmetic) -> None:
    """Go on with the model's pre-training on the texts alone; what comes of it is a foundation for a next run."""
    dataset = datasets.open(settings.dataset, labelled=False)
    results.data(dataset)
    _tell_unused(settings, dataset)
    training.seed(settings.seed)
    network, tokenizer = backbones.load_masked(location, arithmetic=arithmetic)
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


def _tell_unused(settings: Finetune, dataset: Dataset) -> None:
    for told in combinations.unused(settings, dataset):
        say(f"Note: {told}.")


if __name__ == "__main__":
    step.main(Finetune, finetune)
