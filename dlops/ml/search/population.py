"""Population-based training (Jaderberg et al., 2017), each stretch of it a trial of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dlops.config.parameters import Parameter
from dlops.config.space import Axis, Space
from dlops.ml.search.children import Children
from dlops.ml.search.schedulers import Scheduler
from dlops.ml.search.search import Search, Suggestions
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Tune

FEWEST = 4
"""Members of a population: with fewer there is no worst quarter."""
INHERITED = frozenset({"model", "head", "strategy"})
"""Parameters that stay as they are where weights do, which are of no use to others."""
_FACTORS = (0.8, 1.2)


@dataclass(frozen=True)
class Size:
    """Of a population."""

    members: int
    stretches: int
    """Of each member."""

    @property
    def trials(self) -> int:
        return self.members * self.stretches


class Population(Search):
    """A search whose trials are stretches of some epochs, of members that train side by side.

    The first stretch of each member has the values that a study suggests. Where a member is among the worst quarter of
    those that have come as far, or has failed, its next stretch goes on from the weights of one of the best quarter
    with a change to that one's values; else from its own, as it was. So values hold from a trial's first epoch to its
    last, and a trial can be done again by its values and the run whose weights it began with.

    What is next depends on the seed, the number of the trial and the trials that ended before alone.
    """

    def __init__(
        self,
        study: Suggestions,
        stopping: Stopping,
        children: Children,
        *,
        settings: Tune,
        space: Space,
        known: Mapping[str, Parameter],
        fixed: Mapping[str, str],
        before: list[Trial] | None = None,
        refuses: Callable[[Mapping[str, str]], bool] | None = None,
        show: Callable[[Search], None] | None = None,
    ) -> None:
        """Take what `Search` takes, the settings, the space over the `known` parameters, and what else is `fixed`."""
        super().__init__(study, Scheduler(), stopping, children, before=before, refuses=refuses, show=show)
        self._size, self._seed, self._space, self._known = size(settings), settings.seed, space, known
        self._fixed = fixed

    @property
    def waits(self) -> bool:
        """Whether a trial goes on that another may come after."""
        return any(not trial.is_over for trial in self.trials)

    def least_kept(self) -> float:
        """Give minus infinity: any trial's weights may be gone on from."""
        return float("-inf")

    def _another(self) -> Trial | None:
        """Make a member's next stretch: that of a new one as long as there are not enough."""
        first = [trial for trial in self.trials if not trial.stretch]
        values = self._values(first) if len(first) < self._size.members else None
        if values is not None:
            return Trial(self._number, values)
        followed = {trial.after for trial in self.trials}
        for trial in sorted(self.trials, key=lambda trial: (trial.stretch, trial.number)):
            last = trial.stretch + 1 == self._size.stretches
            if trial.is_over and not last and trial.number not in followed and (found := self._successor(trial)):
                return found
        return None

    def _successor(self, trial: Trial) -> Trial | None:
        """Make the stretch that comes in a trial's place; `None` if that one has failed, and no other has come as far.

        The best and worst quarter are those of truncation selection, as in the paper, where it is a fifth.
        """
        rivals = sorted(
            (other for other in self.trials if other.counts and other.stretch == trial.stretch),
            key=lambda other: (-other.score, other.number),
        )
        quarter = len(rivals) // 4
        if trial.counts and trial not in rivals[len(rivals) - quarter :]:
            return self._following(trial, trial, trial.values)
        if not rivals:
            return None
        chance = random.Random(f"{self._seed} {self._number}")  # noqa: S311 (no secret depends on it)
        better = chance.choice(rivals[: max(1, quarter)])
        return self._following(trial, better, self._changed(better.values, chance))

    def _following(self, trial: Trial, heir_of: Trial, values: Mapping[str, str]) -> Trial:
        stretch = trial.stretch + 1
        return Trial(self._number, dict(values), stretch=stretch, after=trial.number, weights_from=heir_of.run_id)

    def _changed(self, values: Mapping[str, str], chance: random.Random) -> dict[str, str]:
        """Give values a little beside others: numbers times 0.8 or 1.2, of a list what comes before or after."""
        changed: dict[str, str] = {}
        given = dict(self._fixed)
        for axis in self._space.counting(given):
            text = values.get(axis.name, self._fixed[axis.name])
            known = self._known[axis.name]
            changed[axis.name] = text if axis.name in INHERITED else _beside(axis, text, known, chance)
            given[axis.name] = changed[axis.name]
        return dict(values) if self._refuses and self._refuses(changed) else changed

    def _forget_outdone(self) -> None:
        """Remove weights that no trial goes on from any more, but for the best's, and those that it began with."""
        if (leading := self.best) is None:
            return
        for trial in self.trials:
            followers = sum(other.is_over and other.stretch == trial.stretch + 1 for other in self.trials)
            needed = (leading.run_id, leading.weights_from)
            if trial.number in self._above and followers >= self._size.members and trial.run_id not in needed:
                del self._above[trial.number]
                self._children.forget(trial)


def size(settings: Tune) -> Size:
    """Give how many members there are trials for, if each has its epochs."""
    stretches = settings.epochs // settings.grace_epochs
    return Size(settings.trials // max(1, stretches), stretches)


def problems(settings: Tune, space: Space) -> Sequence[str]:
    """Tell what does not go together with `scheduler=pbt`."""
    found, stretches = [], size(settings).stretches
    searched = {axis.name for axis in space.axes}
    if settings.epochs % settings.grace_epochs:
        stretch = f"grace_epochs={settings.grace_epochs}"
        found.append(f"epochs={settings.epochs} cannot be cut into stretches of {stretch}")
    elif stretches < 2:
        found.append("scheduler=pbt needs two stretches at least: more epochs, or fewer grace_epochs")
    elif settings.trials < FEWEST * stretches:
        found.append(f"{FEWEST} members of {stretches} trials each need trials={FEWEST * stretches} at least")
    if "epochs" in searched:
        found.append("space: epochs is not searched with scheduler=pbt, whose members have the same")
    if settings.search == "grid":
        found.append("search=grid tries each point once, and scheduler=pbt changes them")
    staged = {"freeze_unfreeze", "unfreeze_milestones"}
    drawn = [value for axis in space.axes if axis.name == "strategy" for value in axis.values]
    if staged.intersection(drawn or [settings.strategy]):
        found.append("scheduler=pbt trains in stretches: strategies with stages of their own mean nothing to it")
    if settings.confirm_seeds > 1 or settings.refit:
        found.append("confirm_seeds and refit train again from the start, which no trial of scheduler=pbt has seen")
    return found


def _beside(axis: Axis, text: str, parameter: Parameter, chance: random.Random) -> str:
    """Give a value beside another, within the axis."""
    if axis.values:
        place = axis.values.index(text) + chance.choice((-1, 1)) if text in axis.values else 0
        return axis.values[min(len(axis.values) - 1, max(0, place))]
    number, factor = float(text), chance.choice(_FACTORS)
    whole = parameter.type == "int"
    step = axis.figures[2] if len(axis.figures) > 2 else float(whole)
    moved = number * factor
    if abs(moved - number) < step:
        moved = number + (step if factor > 1 else -step)
    near = axis.nearest(moved)
    return parameter.canonical(round(near) if whole else near)
