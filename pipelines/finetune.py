"""Fine-tune a pretrained model on an ingested dataset, and say whether it was worth it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlops.ml import (
    backbones,
    baselines,
    batches,
    datasets,
    features,
    hardware,
    logged_models,
    packaging,
    pictures,
    record,
    report,
    step,
    strategies,
    targets,
    tokens,
    training,
)
from dlops.ml.backbones import Location
from dlops.ml.batches import FeatureRows, RandomBatches, TokenRows
from dlops.ml.classifier import Classifier, Optimization
from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import Evaluation
from dlops.ml.features import Rows
from dlops.ml.hardware import Arithmetic
from dlops.ml.networks import Averaging, Network
from dlops.ml.progress import say
from dlops.ml.settings import Finetune
from dlops.ml.strategies import Strategy
from dlops.ml.targets import Number, Target
from dlops.ml.training import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN = 20


def finetune(settings: Finetune) -> None:
    """Read the dataset, train, test beside the baselines, log figures, pictures and the model."""
    location = backbones.locate(
        settings.model, trust_remote_code=settings.trust_remote_code, allow_pickle=settings.allow_pickle
    )
    _log_foundation(location)
    strategy = _strategy(settings)
    dataset = datasets.open(settings.dataset)
    _log_dataset(dataset)
    arithmetic = hardware.arithmetic(settings.precision)
    training.seed(settings.seed)
    balanced = settings.class_weights == "balanced"
    target = targets.of(dataset.kind, dataset.labels, dataset.train.labels, balanced=balanced)
    network, tokenizer = backbones.load(location, target, head=_head(settings), attention=arithmetic.attention)
    told = f"{network.size / 1e6:.1f} million weights, {settings.strategy}, head {_head(settings)}, {arithmetic}"
    say(f"Model {settings.model}: {told}")

    rows = _rows(dataset, tokenizer, target, settings, arithmetic)
    trained = _train(network, rows, target, strategy, settings, arithmetic)
    say(f"Trained in {trained.seconds:.0f} s; the weights of epoch {trained.best_epoch} are kept")

    rivals = baselines.evaluations(dataset)
    _log_report(settings, dataset, trained, rivals, location.revision)
    uri = packaging.log(
        network,
        tokenizer,
        dataset,
        max_length=settings.max_length,
        backbone=settings.model,
        revision=location.revision,
    )
    record.output("model", uri)
    say(report.verdict(trained.test, rivals, synthetic=dataset.synthetic))
    say(f"Model {uri}")


def _head(settings: Finetune) -> str:
    if settings.head != "auto":
        return settings.head
    return "all_layers" if settings.strategy == "freeze" else "standard"


def _strategy(settings: Finetune) -> Strategy:
    match settings.strategy:
        case "freeze":
            return strategies.Freeze()
        case "freeze_unfreeze":
            return strategies.FreezeUnfreeze(settings.unfreeze[0])
        case "unfreeze_milestones":
            first, second = settings.unfreeze[0], settings.unfreeze[-1]
            return strategies.UnfreezeMilestones(first, second, settings.unfreeze_layers)
        case "lora":
            return strategies.Lora(settings.lora_rank, 2 * settings.lora_rank, 0.0)
        case _:
            return Strategy()


def _log_foundation(location: Location) -> None:
    """Record what the model's name stands for now: a branch, an alias or a run's output may be another tomorrow."""
    if location.revision:
        say(f"The model {location.name} is {location.revision}")
        record.tag("model_revision", location.revision)
    if model_id := logged_models.model_id(location.revision):
        record.model_input(model_id)


def _log_dataset(dataset: Dataset) -> None:
    counts = f"{len(dataset.train)} train, {len(dataset.val)} val, {len(dataset.test)} test rows"
    say(f"Dataset {dataset.reference}: {counts}, {_told(dataset)}")
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


def _told(dataset: Dataset) -> str:
    what = {"classes": "labels", "multilabel": "any of the labels"}.get(dataset.kind)
    names = ", ".join(dataset.labels[:_SHOWN]) + (" …" if len(dataset.labels) > _SHOWN else "")
    return f"{what} {names}" if what else "labels are numbers"


def _rows(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, target: Target, settings: Finetune, arithmetic: Arithmetic
) -> Rows:
    """Tokenize the three splits."""

    def tokenized(split: Split) -> TokenRows:
        found = tokens.encode(tokenizer, split.texts, split.pairs, settings.max_length)
        return TokenRows(found, target.encode(split.labels))

    micro = settings.micro_tokens or batches.micro_tokens(arithmetic.accelerator)
    return Rows(
        train=tokenized(dataset.train),
        val=tokenized(dataset.val) if dataset.val.texts else None,
        test=tokenized(dataset.test),
        collate=batches.Collator(tokenizer.pad_token_id or 0, micro),
    )


def _train(
    network: Network, rows: Rows, target: Target, strategy: Strategy, settings: Finetune, arithmetic: Arithmetic
) -> Trained:
    """Train on tokens, or the head alone on features that were computed once (freeze)."""
    strategy.prepare(network)
    if settings.strategy == "freeze":
        rows = features.of(network, rows, arithmetic)
        if isinstance(network, Averaging) and isinstance(rows.train, FeatureRows):
            network.standardise(rows.train.features)
    sampler = RandomBatches(
        rows.train.lengths, rows=settings.batch_size, tokens=settings.batch_tokens or None, seed=settings.seed
    )
    loaders = training.Loaders(
        train=batches.training(rows.train, rows.collate, sampler),
        val=batches.evaluation(rows.val, rows.collate) if rows.val else None,
        test=batches.evaluation(rows.test, rows.collate),
    )
    optimization = Optimization(
        learning_rate=settings.learning_rate,
        head_learning_rate=settings.head_learning_rate,
        weight_decay=settings.weight_decay,
        schedule=settings.schedule,
        warm_up=settings.warm_up,
        clip=settings.clip,
    )
    module = Classifier(network, target, optimization, seed=settings.seed)
    patience = settings.early_stopping
    trained = training.train(
        module, strategy, loaders, epochs=settings.epochs, arithmetic=arithmetic, patience=patience
    )
    strategy.finish(network)
    if isinstance(target, Number):
        target.in_its_own_units(network.last)
    return trained


def _log_report(
    settings: Finetune, dataset: Dataset, trained: Trained, rivals: Mapping[str, Evaluation], revision: str | None
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
            **intervals,
            **{f"baseline_{rival}_test_{name}": found.value for rival, found in rivals.items()},
            "train_seconds": trained.seconds,
        },
        step=trained.best_epoch,
    )
    title = f"{settings.model[-50:]}\n{dataset.name}{' (synthetic data)' if dataset.synthetic else ''}"
    tested = f"{title}, {test.rows} test rows"
    bars = {baselines.TITLES[rival]: found.value for rival, found in rivals.items()} | {"this model": test.value}
    kind = "confusion_matrix.png" if dataset.kind == "classes" else "predictions.png"
    record.picture(kind, pictures.predictions(test, tested))
    record.picture("curves.png", pictures.curves(trained.epochs, trained.best_epoch, title))
    ends = test.intervals()[name]
    record.picture("baselines.png", pictures.baselines(bars, ends, f"test {report.named(name)}", tested))
    found = report.summary(settings, dataset, trained, rivals, revision=revision)
    record.document("summary.json", found)
    record.text("summary.md", report.markdown(found))


if __name__ == "__main__":
    step.main(Finetune, finetune)
