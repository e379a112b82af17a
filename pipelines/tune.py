"""Search the parameters of `finetune` for better ones, and hand back a configuration that it takes as it is."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from dlops.config.space import Space
from dlops.errors import StepFailed
from dlops.ml import combinations, record, results, step, user_callbacks
from dlops.ml.progress import say
from dlops.ml.search import asked, confirmation, in_process, schedulers, winner
from dlops.ml.search.children import Children
from dlops.ml.search.display import Display
from dlops.ml.search.objective import Ready, Training, settings_of
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
    objective = Training(settings)
    with record.system_metrics():
        ready = objective.ready(settings_of(settings, {}))
        results.foundation(ready.location)
        results.data(ready.dataset)
        fixed = asked.fixed(settings) | _pinned(settings, ready, space)
        study = Study(space, asked.KNOWN, fixed, points, search=settings.search, seed=settings.seed)
        children, before = _children(settings, fixed, "trial")
        total = min(settings.trials, study.size or settings.trials)
        search = Search(
            study,
            schedulers.of(settings),
            Stopping(settings),
            children,
            before=before,
            kept=confirmation.BEST if settings.confirm_seeds > 1 else 1,
            show=Display(total),
        )
        _tell_plan(settings, ready, search, total)
        try:
            _run(settings, search, objective)
            if search.best is None:
                raise _nothing_finished(search)
            best = _confirmed(settings, search, objective, fixed) if settings.confirm_seeds > 1 else search.best
        except BaseException:  # whoever ends the search has what it came to so far
            if search.best:
                _log_best(settings, search, search.best, objective, fixed)
            raise
        _log_best(settings, search, best, objective, fixed)
        winner.log_trials(search, study.importance(), f"{settings.model[-50:]}\n{ready.dataset.name}")


def _pinned(settings: Tune, ready: Ready, space: Space) -> dict[str, str]:
    """Give what the names of dataset and model stand for now, as far as they are not searched."""
    found = {"dataset": ready.dataset.reference, "model": ready.location.reference or settings.model}
    return {name: text for name, text in found.items() if name not in {axis.name for axis in space.axes}}


def _children(settings: Tune, fixed: Mapping[str, str], kind: str) -> tuple[Children, list[Trial]]:
    """Give the runs of a kind of trials, and the trials of the search that goes on here."""
    children = Children(str(record.run_id()), fixed, kind=kind)
    return children, children.resume(settings.resume_from) if settings.resume_from else []


def _confirmed(settings: Tune, search: Search, objective: Training, fixed: Mapping[str, str]) -> Trial:
    """Train the best trials with other seeds too; give that of the highest mean score."""
    candidates = best_of(search.trials, confirmation.BEST)
    listed = confirmation.listed(settings, candidates)
    children, before = _children(settings, fixed, "confirmation")
    scheduler, stopping = confirmation.rules(settings)
    seeds = Search(listed, scheduler, stopping, children, before=before, kept=0, show=Display(len(listed.values)))
    say(f"The best {len(candidates)} trials are trained with {settings.confirm_seeds} seeds each")
    _run(settings, seeds, objective)
    means = confirmation.means(candidates, seeds)
    for trial in candidates:
        say(f"Trial {trial.number}: score {means[trial.number]:.4f} over its seeds, {trial.score:.4f} in the search")
    return max(candidates, key=lambda trial: (means[trial.number], -trial.number))


def _run(settings: Tune, search: Search, objective: Training) -> None:
    """Run the trials: those that take seconds here, others where there is room for several."""
    if settings.engine == "process" or (settings.engine == "auto" and not asked.is_worth_a_process(settings)):
        in_process.run(search, objective)
        return
    from dlops.ml.search import on_ray

    on_ray.run(search, settings, functools.partial(Training, settings))


def _tell_plan(settings: Tune, ready: Ready, search: Search, total: int) -> None:
    before = f", {sum(trial.is_over for trial in search.trials)} of them done before" if search.trials else ""
    how = f"{settings.search}, scheduler {settings.scheduler}"
    say(f"Search: {total} trials at most{before}; {how}; {ready.settings.strategy}, head {ready.settings.head}")


def _nothing_finished(search: Search) -> StepFailed:
    errors = [trial.error.strip().splitlines()[-1] for trial in search.trials if trial.error]
    hint = f"The last one's error: {errors[-1]}" if errors else "Allow more trials, or more time."
    return StepFailed(f"No trial has finished: {search.reason}.", hint=hint)


def _log_best(settings: Tune, search: Search, best: Trial, objective: Training, fixed: Mapping[str, str]) -> None:
    """Record the winner: first what takes no time, for whoever has ended the search may not wait."""
    winner.log_configuration(settings, search, best, fixed)
    winner.log_model(settings, objective, best)
    chosen = ", ".join(f"{name}={text}" for name, text in best.values.items()) or "the defaults"
    say(f"Ended: {search.reason or 'interrupted'}.")
    say(f"Best is trial {best.number}, val score {best.score:.4f}: {chosen}")


if __name__ == "__main__":
    step.main(Tune, tune)
