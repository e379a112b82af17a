"""Search the parameters of `finetune` for better ones, and hand back a configuration that it takes as it is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from dlops.config.space import Space
from dlops.errors import StepFailed, UsageError
from dlops.ml import backbones, combinations, datasets, record, results, step, user_callbacks
from dlops.ml.datasets import Dataset
from dlops.ml.progress import say
from dlops.ml.search import asked, confirmation, in_process, population, schedulers, winner
from dlops.ml.search.children import Children
from dlops.ml.search.display import Display
from dlops.ml.search.objective import Ready, Training, settings_of
from dlops.ml.search.population import Population
from dlops.ml.search.search import Search
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.study import Study
from dlops.ml.search.trials import Trial
from dlops.ml.search.trials import best as best_of
from dlops.ml.settings import Tune


def tune(settings: Tune) -> None:
    """Try what the space holds, keep every trial as a run below this one, log the winner's configuration and model."""
    space, points = asked.read(settings)
    combinations.check(settings_of(settings, {}))
    user_callbacks.load(settings.callbacks)
    fixed = asked.fixed(settings)
    settings, dataset = _pinned(settings)
    fixed |= {name: record.original(getattr(settings, name)) for name in ("dataset", "model")}
    study = Study(space, asked.KNOWN, fixed, points, search=settings.search, seed=settings.seed)
    objective = Training(settings, dataset)
    with record.system_metrics():
        _tell_head(objective.ready(settings_of(settings, {})))
        children, before = _children(settings, fixed, "trial")
        search, total = _search(settings, space, study, children, before)
        _tell_plan(settings, search, total)
        try:
            _run(settings, space, search, objective)
            if search.best is None:
                raise _nothing_finished(search)
            best = _confirmed(settings, space, search, objective, fixed) if settings.confirm_seeds > 1 else search.best
        except BaseException:  # whoever ends the search has what it came to so far
            _log_at_once(settings, search, objective, fixed)
            raise
        _log_best(search, best, fixed)
        winner.log_model(settings, objective, best)
        winner.log_trials(search, study.importance(), f"{settings.model[-50:]}\n{dataset.name}")
        if search.failed:
            raise StepFailed(
                f"The search was ended: {search.reason}.",
                hint="Look at the failed trials' runs; more may fail with failures=, and `dlops resume` goes on.",
            )


def _pinned(settings: Tune) -> tuple[Tune, Dataset]:
    """Let dataset and model mean to every trial what they mean now; record that, and read the dataset."""
    location = backbones.locate(
        settings.model, trust_remote_code=settings.trust_remote_code, allow_pickle=settings.allow_pickle
    )
    results.foundation(location)
    dataset = datasets.open(settings.dataset)
    results.data(dataset)
    pinned = replace(settings, dataset=dataset.reference, model=location.reference or settings.model)
    return pinned, dataset


def _search(settings: Tune, space: Space, study: Study, children: Children, before: list[Trial]) -> tuple[Search, int]:
    """Give the search that the settings ask for, and how many trials it has at most."""
    stopping = Stopping(settings, children.seconds, sum(trial.status == "failed" for trial in before))
    refuses = functools.partial(_is_no_training, settings)
    if settings.scheduler == "pbt":
        total = population.size(settings).trials
        return Population(
            *(study, stopping, children),
            settings=settings,
            space=space,
            known=asked.KNOWN,
            fixed=asked.fixed(settings),
            before=before,
            refuses=refuses,
            show=Display(total),
        ), total
    total = min(settings.trials, study.size or settings.trials)
    return Search(
        *(study, schedulers.of(settings, asked.most_epochs(settings, space)), stopping, children),
        before=before,
        kept=confirmation.BEST if settings.confirm_seeds > 1 else 1,
        refuses=refuses,
        show=Display(total),
    ), total


def _is_no_training(settings: Tune, values: Mapping[str, str]) -> bool:
    """Say whether values do not go together."""
    try:
        combinations.check(settings_of(settings, values))
    except UsageError:
        return True
    return False


def _children(settings: Tune, fixed: Mapping[str, str], kind: str) -> tuple[Children, list[Trial]]:
    """Give the runs of a kind of trials, and the trials of the search that goes on here."""
    children = Children(str(record.run_id()), fixed, kind=kind)
    return children, children.resume(settings.resume_from) if settings.resume_from else []


def _confirmed(settings: Tune, space: Space, search: Search, objective: Training, fixed: Mapping[str, str]) -> Trial:
    """Train the best trials with other seeds too; give that of the highest mean score."""
    candidates = best_of(search.trials, confirmation.BEST)
    listed = confirmation.listed(settings, candidates)
    children, before = _children(settings, fixed, "confirmation")
    scheduler, stopping = confirmation.rules(settings)
    seeds = Search(listed, scheduler, stopping, children, before=before, kept=0, show=Display(len(listed.values)))
    say(f"The best {len(candidates)} trials are trained with {settings.confirm_seeds} seeds each")
    _run(settings, space, seeds, objective)
    means = confirmation.means(settings, candidates, seeds)
    for trial in candidates:
        say(f"Trial {trial.number}: score {means[trial.number]:.4f} over its seeds, {trial.score:.4f} in the search")
    return max(candidates, key=lambda trial: (means[trial.number], -trial.number))


def _run(settings: Tune, space: Space, search: Search, objective: Training) -> None:
    """Run the trials: those that take seconds here, others where there is room for several."""
    if settings.engine == "process" or (settings.engine == "auto" and not asked.is_worth_a_process(settings, space)):
        in_process.run(search, objective)
        return
    from dlops.ml.search import on_ray

    on_ray.run(search, settings, functools.partial(Training, settings))


def _tell_head(ready: Ready) -> None:
    size = ready.network.size / 1e6
    say(f"Model {ready.settings.model}: {size:.1f} million weights, head {ready.settings.head}, {ready.arithmetic}")


def _tell_plan(settings: Tune, search: Search, total: int) -> None:
    before = f", {sum(trial.is_over for trial in search.trials)} of them done before" if search.trials else ""
    say(f"Search: {total} trials at most{before}; {settings.search}, scheduler {settings.scheduler}")


def _nothing_finished(search: Search) -> StepFailed:
    errors = [trial.error.strip().splitlines()[-1] for trial in search.trials if trial.error]
    hint = f"The last one's error: {errors[-1]}" if errors else "Allow more trials, or more time."
    return StepFailed(f"No trial has finished: {search.reason}.", hint=hint)


def _log_best(search: Search, best: Trial, fixed: Mapping[str, str]) -> None:
    """Say and record which trial is the best, and what it was."""
    winner.log_configuration(search, best, fixed)
    chosen = ", ".join(f"{name}={text}" for name, text in best.values.items()) or "the defaults"
    say(f"Ended: {search.reason or 'interrupted'}.")
    say(f"Best is trial {best.number}, val score {best.score:.4f}: {chosen}")


def _log_at_once(settings: Tune, search: Search, objective: Training, fixed: Mapping[str, str]) -> None:
    """Record what a search that was ended came to, if anything; that this fails is no reason to hide why it ended."""
    if search.best is None:
        return
    try:
        _log_best(search, search.best, fixed)
        winner.log_model_at_once(settings, objective, search.best)
    except Exception as error:  # whatever a store raises
        say(f"The best so far could not be recorded: {error}")


if __name__ == "__main__":
    step.main(Tune, tune)
