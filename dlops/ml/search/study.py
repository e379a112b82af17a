"""What is tried next: first the defaults and the user's points, then what Optuna suggests, by chance or by TPE."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from dlops.config.parameters import Parameter
from dlops.config.space import Axis, Space
from dlops.ml.search.trials import Trial

_AT_RANDOM = 5
"""Trials after which TPE has seen enough to suggest."""
_ATTEMPTS, _BY_CHANCE = 200, 5
"""Values drawn in a row that were tried before, or are refused, after which nothing seems to be left; and after which
they are drawn by chance, for TPE may think of nothing but what it knows."""
_UNFIT = "fit"
"""Name of the constraint that trials break which failed, or for which memory was too small."""


class Study:
    """Gives values to try, and hears what became of them.

    What it suggests depends on the seed, the number of the trial and the trials that ended before alone, so a search
    that goes on after an interruption tries what it would have tried (where trials do not run side by side).
    """

    def __init__(
        self,
        space: Space,
        known: Mapping[str, Parameter],
        fixed: Mapping[str, str],
        points: Sequence[Mapping[str, str]],
        *,
        search: str,
        seed: int,
    ) -> None:
        """Take the space over the `known` parameters, what these are without a search, and what is tried first."""
        self._space, self._known, self._fixed = space, known, dict(fixed)
        self._tpe, self._seed = search == "tpe", seed
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=seed))
        self._asked: dict[int, optuna.trial.Trial] = {}
        self._is_grid = search == "grid"
        self._points = [*map(self._counting, points), *(self._grid() if self._is_grid else [])]
        self._worst: float | None = None

    @property
    def size(self) -> int | None:
        """How many trials there are in all, at most; `None` where there is no end to them."""
        return 1 + len(self._points) if self._is_grid else None

    def ask(
        self, tried: Sequence[Mapping[str, str]], refused: Callable[[Mapping[str, str]], bool]
    ) -> dict[str, str] | None:
        """Give the values of the next trial, as canonical texts; `None` if there is nothing left that is not `refused`.

        `tried` are the values of all trials before it.
        """
        if not tried:
            return self.defaults()

        def unfit(values: Mapping[str, str]) -> bool:
            return values in tried or refused(values)

        for point in self._points:
            known = any(point.items() <= values.items() for values in tried)
            if not known and (values := self._drawn(len(tried), unfit, point=point)) is not None:
                return values
        for attempt in range(0 if self._is_grid else _ATTEMPTS):
            if (values := self._drawn(len(tried), unfit, attempt)) is not None:
                return values
        return None

    def defaults(self) -> dict[str, str]:
        """Give what a training without a search has."""
        return {axis.name: self._fixed[axis.name] for axis in self._space.counting(self._fixed)}

    def _drawn(
        self,
        number: int,
        refused: Callable[[Mapping[str, str]], bool],
        attempt: int = 0,
        point: Mapping[str, str] | None = None,
    ) -> dict[str, str] | None:
        """Draw values, those of a point as they are; `None` if they are refused."""
        if point:
            self._study.enqueue_trial({name: self._plain(name, text) for name, text in point.items()})
        self._study.sampler = self._sampler(f"{self._seed} {number} {attempt}", by_chance=attempt >= _BY_CHANCE)
        asked = self._study.ask()
        values, given = {}, dict(self._fixed)
        for axis in self._space.counting(given):
            drawn = self._suggested(axis, asked)
            values[axis.name] = given[axis.name] = (point or {}).get(axis.name, drawn)
        if refused(values):
            self._study.tell(asked, state=TrialState.FAIL)
            return None
        self._asked[number] = asked
        return values

    def tell(self, trial: Trial) -> None:
        """Hear how a trial ended; one of another process, too."""
        axes = {axis.name: axis for axis in self._space.axes}
        if trial.number not in self._asked and not all(
            name in axes and axes[name].holds(text) for name, text in trial.values.items()
        ):
            return  # the defaults may lie outside of what is searched
        asked = self._asked.pop(trial.number, None)
        scores = dict(enumerate(trial.scores, start=1))
        self._worst = min([*([] if self._worst is None else [self._worst]), *trial.scores], default=None)
        fits = trial.status in ("finished", "pruned") and bool(scores)
        frozen = optuna.trial.create_trial(
            state=TrialState.PRUNED if trial.status == "pruned" and fits else TrialState.COMPLETE,
            value=trial.score if fits else self._worst or 0.0,
            params={name: self._plain(name, text) for name, text in trial.values.items()},
            distributions={name: self._distribution(axes[name]) for name in trial.values},
            intermediate_values=scores if fits else {},
            system_attrs={} if fits else {f"constraints:{_UNFIT}": 1.0},
        )
        if asked is not None:
            self._study.tell(asked, state=TrialState.FAIL)
        self._study.add_trial(frozen)

    def importance(self) -> dict[str, float]:
        """Give how much each parameter decides of the score, adding up to 1 (fANOVA, Hutter et al., 2014).

        Empty where too few trials were finished to tell.
        """
        finished = [
            trial
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if not any(value > 0 for value in trial.constraints.values())
        ]
        if len(finished) < 2 or len({trial.value for trial in finished}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            those = optuna.create_study(direction="maximize")
            those.add_trials(finished)
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
            found = optuna.importance.get_param_importances(those, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}

    def _sampler(self, about: str, *, by_chance: bool) -> BaseSampler:
        seed = int.from_bytes(hashlib.blake2b(about.encode(), digest_size=4).digest(), "big")
        if by_chance or not self._tpe:
            return RandomSampler(seed=seed)
        conditional = any(axis.when for axis in self._space.axes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(seed=seed, n_startup_trials=_AT_RANDOM, group=conditional)

    def _suggested(self, axis: Axis, asked: optuna.trial.Trial) -> str:
        match self._distribution(axis):
            case CategoricalDistribution() as one:
                return str(asked.suggest_categorical(axis.name, one.choices))
            case IntDistribution() as one:
                return str(asked.suggest_int(axis.name, one.low, one.high, step=one.step))
            case FloatDistribution() as one:
                drawn = asked.suggest_float(axis.name, one.low, one.high, step=one.step, log=one.log)
                return self._known[axis.name].canonical(axis.nearest(drawn))
            case _:
                raise TypeError(axis.kind)

    def _distribution(self, axis: Axis) -> BaseDistribution:
        if axis.values:
            return CategoricalDistribution(axis.values)
        low, high, *step = axis.figures
        if self._known[axis.name].type == "int":
            return IntDistribution(int(low), int(high), step=int(step[0]) if step else 1)
        return FloatDistribution(low, high, log=axis.kind == "loguniform", step=step[0] if step else None)

    def _plain(self, name: str, text: str) -> Any:
        """Give a value as Optuna has it: a number where the axis has figures, else the text."""
        axis = next(axis for axis in self._space.axes if axis.name == name)
        return text if axis.values else self._known[name].value(text)

    def _counting(self, point: Mapping[str, str]) -> dict[str, str]:
        """Leave out what does not count beside the rest of a point."""
        counting = {axis.name for axis in self._space.counting({**self._fixed, **point})}
        return {name: text for name, text in point.items() if name in counting}

    def _grid(self) -> list[dict[str, str]]:
        """Give every value of each grid axis with every one of the others, as far as they count beside each other."""
        names = [axis.name for axis in self._space.grid()]
        products = itertools.product(*(axis.values for axis in self._space.grid()))
        points = [self._counting(dict(zip(names, texts, strict=True))) for texts in products]
        return list({tuple(point.items()): point for point in points}.values())
