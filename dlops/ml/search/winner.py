"""What comes of a search: the winner's configuration, its model, and pictures of all trials."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from dlops.errors import StepFailed
from dlops.ml import batches, fine_tuning, kept_weights, record, results, training
from dlops.ml.evaluation import Evaluation
from dlops.ml.features import Rows
from dlops.ml.progress import say
from dlops.ml.search import pictures
from dlops.ml.search.objective import Ready, Training, settings_of
from dlops.ml.search.search import Search
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Tune
from dlops.ml.training import Trained
from dlops.worker import masking

CONFIG = "best.yaml"
_PLAIN = re.compile(r"(?!(null|Null|NULL)$)[\w./-][\w./@+-]*(:[\w./@+-]+)*")


def configuration(texts: Mapping[str, str], trial: Trial, about: str) -> str:
    """Write the YAML file by which `finetune` does what a trial did: what was searched, then all else."""
    searched = [_line(name, texts[name]) for name in texts if name in trial.parameters]
    others = [_line(name, text) for name, text in texts.items() if name not in trial.parameters]
    head = f"# dlops finetune -c {CONFIG}\n# {about}\n"
    return head + "\n".join(["", *searched, "", "# not searched", *others]) + "\n"


def log_configuration(search: Search, best: Trial, fixed: Mapping[str, str]) -> None:
    """Record the winner's configuration and run: the outputs `best_config` and `best_run`.

    `fixed` are the texts of what is not searched, the dataset's and the model's pinned.
    """
    about = f"trial {best.number} of {len(search.trials)}, val score {best.score:.4f}, run {best.run_id}"
    record.text(CONFIG, configuration({**fixed, **best.parameters}, best, about))
    record.output("best_config", f"runs:/{record.run_id()}/{CONFIG}")
    record.output("best_run", best.run_id)
    record.metrics({"best_score": best.score, "trials": len(search.trials), "epochs": _epochs(search.trials)})


def log_model_at_once(settings: Tune, objective: Training, best: Trial) -> None:
    """Log the model that the best training so far came to, untested: whoever has ended the search does not wait."""
    ready = objective.ready(settings_of(settings, best.parameters))
    _load(ready, best)
    fine_tuning.in_its_own_units(ready.network, ready.target)
    uri = results.untested(ready.settings, ready.location, ready.dataset, ready.network, ready.tokenizer)
    say(f"Model {uri}, of trial {best.number}; it was not tested")


def log_model(settings: Tune, objective: Training, best: Trial) -> None:
    """Log the model that the winner's training came to, tested beside its baselines: the output `model`.

    With `refit` it is trained once more, on train and val rows, for as many epochs as were best.
    """
    ready = objective.ready(settings_of(settings, best.parameters))
    if settings.refit:
        chosen = replace(ready.settings, epochs=best.best_epoch, early_stopping=0)
        say(f"Trial {best.number} is trained once more, on train and val rows, {best.best_epoch} epochs")
        rows = fine_tuning.with_val_rows(ready.prepared)
        trained = fine_tuning.fit(ready.network, rows, ready.target, chosen, chosen.seed, ready.arithmetic)
    else:
        trained = _tested(ready, best)
    results.model(ready.settings, ready.location, ready.dataset, ready.network, ready.tokenizer, trained)


def log_trials(search: Search, shares: Mapping[str, float], title: str) -> None:
    """Keep all trials as a table, and draw them; `shares` are how much each parameter decides of the score."""
    record.document("trials.json", {"trials": [_told(trial) for trial in search.trials], "ended": search.reason})
    if any(trial.scores for trial in search.trials):
        record.picture("history.png", pictures.history(search.trials, title))
        record.picture("parallel.png", pictures.parallel(search.trials, title))
    if shares:
        record.picture("importance.png", pictures.importance(shares, title))
        told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        say(f"What decides: {told}")


def _tested(ready: Ready, best: Trial) -> Trained:
    """Give the network its weights, and test it; what was not kept is trained again."""
    try:
        _load(ready, best)
    except StepFailed as error:
        say(f"{error} It is trained again.")
        return fine_tuning.fit(
            ready.network, ready.prepared, ready.target, ready.settings, ready.settings.seed, ready.arithmetic
        )
    trained = Trained(
        epochs=[],
        best_epoch=best.best_epoch,
        score=(best.score, 0.0),
        seconds=best.seconds,
        val=_judged(ready, "val"),
        test=_judged(ready, "test"),
    )
    fine_tuning.in_its_own_units(ready.network, ready.target)
    return trained


def _load(ready: Ready, trial: Trial) -> None:
    kept_weights.load(ready.network, ready.target.names, trial.run_id, head=ready.settings.strategy == "freeze")


def _judged(ready: Ready, split: str) -> Evaluation:
    rows: Rows[Any] = ready.prepared.features or ready.prepared.rows
    loader = batches.evaluation(getattr(rows, split), rows.collate)
    with fine_tuning.suiting(ready.prepared, ready.arithmetic) as arithmetic:
        return training.judge(ready.network, ready.target, loader, arithmetic)


def _told(trial: Trial) -> dict[str, Any]:
    return {**asdict(trial), "score": trial.score if trial.scores else None, "best_epoch": trial.best_epoch}


def _epochs(trials: Sequence[Trial]) -> int:
    return sum(len(trial.scores) for trial in trials)


def _line(name: str, text: str) -> str:
    text = masking.url(text)
    return f"{name}: {text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)}"
