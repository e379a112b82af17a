"""Search the parameters of `finetune` for better ones, and hand back a configuration that it takes as it is."""

from __future__ import annotations

from dlops.errors import StepFailed
from dlops.ml import combinations, record, results, step, user_callbacks
from dlops.ml.progress import say
from dlops.ml.search import asked, in_process, schedulers, winner
from dlops.ml.search.children import Children
from dlops.ml.search.display import Display
from dlops.ml.search.objective import Ready, Training, settings_of
from dlops.ml.search.search import Search
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.study import Study
from dlops.ml.search.trials import Trial
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
        fixed = asked.fixed(settings)
        study = Study(space, asked.KNOWN, fixed, points, search=settings.search, seed=settings.seed)
        children = Children(str(record.run_id()), fixed)
        before = children.resume(settings.resume_from) if settings.resume_from else []
        total = min(settings.trials, study.size or settings.trials)
        search = Search(
            study,
            schedulers.of(settings),
            Stopping(settings),
            children,
            before=before,
            show=Display(total),
        )
        _tell_plan(settings, ready, search, total)
        try:
            in_process.run(search, objective)
        except BaseException:  # whoever ends the search has what it came to so far
            if search.best:
                _log_best(settings, search, search.best, objective, ready)
            raise
        if search.best is None:
            raise _nothing_finished(search)
        _log_best(settings, search, search.best, objective, ready)


def _tell_plan(settings: Tune, ready: Ready, search: Search, total: int) -> None:
    before = f", {sum(trial.is_over for trial in search.trials)} of them done before" if search.trials else ""
    how = f"{settings.search}, scheduler {settings.scheduler}"
    say(f"Search: {total} trials at most{before}; {how}; {ready.settings.strategy}, head {ready.settings.head}")


def _nothing_finished(search: Search) -> StepFailed:
    errors = [trial.error.strip().splitlines()[-1] for trial in search.trials if trial.error]
    hint = f"The last one's error: {errors[-1]}" if errors else "Allow more trials, or more time."
    return StepFailed(f"No trial has finished: {search.reason}.", hint=hint)


def _log_best(settings: Tune, search: Search, best: Trial, objective: Training, ready: Ready) -> None:
    dataset, model = ready.dataset.reference, ready.location.reference or settings.model
    winner.log_configuration(settings, search, best, dataset, model)
    winner.log_model(settings, objective, best)
    winner.log_trials(search, f"{settings.model[-50:]}\n{ready.dataset.name}")
    chosen = ", ".join(f"{name}={text}" for name, text in best.values.items()) or "the defaults"
    say(f"Ended: {search.reason or 'interrupted'}.")
    say(f"Best is trial {best.number}, val score {best.score:.4f}: {chosen}")


if __name__ == "__main__":
    step.main(Tune, tune)
