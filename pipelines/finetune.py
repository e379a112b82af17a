"""Fine-tune a pretrained model on an ingested dataset, and say whether it was worth it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

from dlops.ml import (
    backbones,
    baselines,
    batches,
    datasets,
    hardware,
    packaging,
    pictures,
    record,
    report,
    step,
    strategies,
    training,
)
from dlops.ml.classifier import Classifier, Rates
from dlops.ml.datasets import Dataset, Split
from dlops.ml.hardware import Arithmetic
from dlops.ml.progress import say
from dlops.ml.settings import Finetune
from dlops.ml.strategies import Rows
from dlops.ml.training import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def finetune(settings: Finetune) -> None:
    """Read the dataset, train, test beside the baselines, log figures, pictures and the model."""
    location = backbones.locate(settings.model)
    dataset = datasets.open(settings.dataset)
    _log_dataset(dataset)
    arithmetic = hardware.arithmetic(settings.precision)
    training.seed(settings.seed)
    model, tokenizer = backbones.load(location, dataset.labels, attention=arithmetic.attention)
    say(
        f"Model {settings.model}: {model.num_parameters() / 1e6:.1f} million weights, {settings.strategy}, {arithmetic}"
    )

    rows = _rows(dataset, tokenizer, settings.max_length, arithmetic)
    trained = _train(model, rows, dataset.labels, settings, arithmetic)
    say(f"Trained in {trained.seconds:.0f} s; the weights of epoch {trained.best_epoch} are kept")

    rivals = baselines.accuracies(dataset.train, dataset.test)
    _log_report(settings, dataset, trained, rivals)
    uri = packaging.log(model, tokenizer, dataset, max_length=settings.max_length, backbone=settings.model)
    record.output("model", uri)
    say(report.verdict(trained.test, rivals, synthetic=dataset.synthetic))
    say(f"Model {uri}")


def _log_dataset(dataset: Dataset) -> None:
    counts = f"{len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test rows"
    say(f"Dataset {dataset.reference}: {counts}, labels {', '.join(dataset.labels)}")
    if dataset.synthetic:
        say(f"The data is synthetic: {dataset.source}")
    record.dataset(
        name=dataset.name,
        uri=dataset.uri,
        version=dataset.version,
        digest=dataset.digest,
        context="training",
        synthetic=dataset.synthetic,
    )


def _rows(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, arithmetic: Arithmetic) -> Rows:
    """Tokenize the three splits."""

    def examples(split: Split) -> list[batches.Example]:
        targets = [dataset.labels.index(label) for label in split.labels]
        return batches.examples(tokenizer, split.texts, targets, max_length)

    return Rows(
        train=examples(dataset.train),
        val=examples(dataset.val) if dataset.val.texts else [],
        test=examples(dataset.test),
        collate=batches.Collator(tokenizer.pad_token_id or 0, batches.micro_tokens(arithmetic.accelerator)),
    )


def _train(
    model: PreTrainedModel, rows: Rows, labels: tuple[str, ...], settings: Finetune, arithmetic: Arithmetic
) -> Trained:
    """Train the head on features that are computed once (freeze), or every layer on tokens (no_freeze)."""
    if settings.strategy == "freeze":
        strategies.freeze(model)
    module = Classifier(model, labels, Rates(settings.learning_rate, settings.head_learning_rate))
    read = strategies.features(model, rows, arithmetic) if settings.strategy == "freeze" else nullcontext(rows)
    with read as given:
        loaders = training.Loaders(
            train=batches.training(given.train, given.collate, settings.batch_size, settings.seed),
            val=batches.evaluation(given.val, given.collate) if given.val else None,
            test=batches.evaluation(given.test, given.collate),
        )
        return training.train(module, loaders, epochs=settings.epochs, arithmetic=arithmetic)


def _log_report(settings: Finetune, dataset: Dataset, trained: Trained, rivals: Mapping[str, float]) -> None:
    """Log the test's figures beside the baselines', the pictures and the summary."""
    test = trained.test
    record.metrics(
        {
            **test.metrics("test", per_class=True),
            **{f"baseline_{name}_test_accuracy": value for name, value in rivals.items()},
            "train_seconds": trained.seconds,
        },
        step=trained.best_epoch,
    )
    title = f"{settings.model[-50:]}\n{dataset.name}{' (synthetic data)' if dataset.synthetic else ''}"
    bars = {baselines.TITLES[name]: value for name, value in rivals.items()} | {"this model": test.accuracy}
    record.picture("confusion_matrix.png", pictures.confusion(test, f"{title}, {test.rows} test rows"))
    record.picture("curves.png", pictures.curves(trained.epochs, trained.best_epoch, title))
    record.picture("baselines.png", pictures.baselines(bars, test.standard_error, f"{title}, {test.rows} test rows"))
    found = report.summary(settings, dataset, trained, rivals)
    record.document("summary.json", found)
    record.text("summary.md", report.markdown(found))


if __name__ == "__main__":
    step.main(Finetune, finetune)
