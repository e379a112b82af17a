"""What comes of a search: the winner's configuration, its model, and pictures of all trials."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from dlops.ml import batches, record, results, training
from dlops.ml.evaluation import Evaluation
from dlops.ml.features import Rows
from dlops.ml.progress import say
from dlops.ml.search import pictures
from dlops.ml.search.objective import Ready, Training, settings_of, texts_of, with_weights
from dlops.ml.search.search import Search
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Finetune, Tune
from dlops.ml.training import Trained

CONFIG = "best.yaml"
_PLAIN = re.compile(r"[\w./@+-][\w./:@+ -]*")
_LEFT_OUT = ("resume_from",)


def configuration(settings: Finetune, trial: Trial, about: str) -> str:
    """Write the YAML file by which `finetune` does what a trial did: what was searched, then all else."""
    texts = texts_of(settings)
    searched = [_line(name, texts[name]) for name in texts if name in trial.values]
    others = [_line(name, text) for name, text in texts.items() if name not in trial.values and name not in _LEFT_OUT]
    head = f"# dlops finetune -c {CONFIG}\n# {about}\n"
    return head + "\n".join(["", *searched, "", "# not searched", *others]) + "\n"


def log_configuration(settings: Tune, search: Search, best: Trial, dataset: str, model: str) -> None:
    """Record the winner's configuration and run: the outputs `best_config` and `best_run`.

    `dataset` and `model` are what these names stood for in the search.
    """
    about = f"trial {best.number} of {len(search.trials)}, val score {best.score:.4f}, run {best.run_id}"
    chosen = replace(settings_of(settings, best.values), dataset=dataset, model=model)
    record.text(CONFIG, configuration(chosen, best, about))
    record.output("best_config", f"runs:/{record.run_id()}/{CONFIG}")
    record.output("best_run", best.run_id)
    record.metrics({"best_score": best.score, "trials": len(search.trials), "epochs": _epochs(search.trials)})


def log_model(settings: Tune, objective: Training, best: Trial) -> None:
    """Log the model that the winner's training came to, tested beside its baselines: the output `model`."""
    ready = objective.ready(settings_of(settings, best.values))
    with_weights(ready, best)
    trained = Trained(
        epochs=[],
        best_epoch=best.best_epoch,
        score=(best.score, 0.0),
        seconds=best.seconds,
        val=_judged(ready, "val"),
        test=_judged(ready, "test"),
    )
    results.model(ready.settings, ready.location, ready.dataset, ready.network, ready.tokenizer, trained)


def log_trials(search: Search, title: str) -> None:
    """Keep all trials as a table, and draw them."""
    record.document("trials.json", {"trials": [_told(trial) for trial in search.trials], "ended": search.reason})
    if any(trial.scores for trial in search.trials):
        record.picture("history.png", pictures.history(search.trials, title))
        record.picture("parallel.png", pictures.parallel(search.trials, title))
    if shares := search.importance():
        record.picture("importance.png", pictures.importance(shares, title))
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        say(f"What decides: {told}")


def _judged(ready: Ready, split: str) -> Evaluation:
    rows: Rows[Any] = ready.prepared.features or ready.prepared.rows
    loader = batches.evaluation(getattr(rows, split), rows.collate)
    return training.judge(ready.network, ready.target, loader, ready.arithmetic)


def _told(trial: Trial) -> dict[str, Any]:
    return {**asdict(trial), "score": trial.score if trial.scores else None, "best_epoch": trial.best_epoch}


def _epochs(trials: Sequence[Trial]) -> int:
    return sum(len(trial.scores) for trial in trials)


def _line(name: str, text: str) -> str:
    return f"{name}: {text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)}"
