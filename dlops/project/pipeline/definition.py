"""`configs/run.yaml`: the steps of a pipeline, what each takes from the others, and where it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dlops.config import yaml
from dlops.config.parameters import suggestion
from dlops.errors import ConfigError
from dlops.project.pipeline import conditions, references
from dlops.project.pipeline.conditions import Condition
from dlops.project.pipeline.references import Reference

FILE = Path("configs/run.yaml")
_NAME = re.compile(r"[A-Za-z_][\w\-]*")
_MOST_RETRIES = 20


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step, as it is written."""

    name: str
    entry_point: str = ""
    """Where it is not named as the step."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Their values; texts may hold references."""
    target: str = ""
    needs: tuple[str, ...] = ()
    """Steps that come before it although nothing of theirs is taken."""
    when: tuple[Condition, ...] = ()
    """All must hold, else the step is skipped."""
    retries: int = 0
    """How often it is tried again after it failed."""
    depends: tuple[str, ...] | None = None
    """Globs of the project's files that its results rest on, where MLproject's are not meant."""
    cache: bool | None = None
    """Whether results are taken again, where MLproject's word is not meant."""
    where: str = ""
    """`FILE:LINE`."""

    @property
    def kind(self) -> str:
        """What it launches: a step of the project, whose configuration it has."""
        return self.entry_point or self.name

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """All that it takes from other steps."""
        held = [reference for value in self.parameters.values() for reference in references.found(text_of(value))]
        return (*held, *(reference for condition in self.when for reference in condition.references))

    @cached_property
    def before(self) -> tuple[str, ...]:
        """The steps that must have ended before it begins, each once."""
        return tuple(dict.fromkeys([*(reference.step for reference in self.references), *self.needs]))


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Steps, in an order in which each comes after what it needs."""

    steps: Mapping[str, Step]
    parallel: int = 0
    """How many run side by side at most; 0 sets no bound."""
    file: str = ""
    base: Path = Path()
    """The folder that relative paths in it begin at."""

    def after(self, name: str) -> set[str]:
        """Name the steps that need this one, themselves or by others."""
        found: set[str] = set()
        for step in self.steps.values():
            if found.union({name}).intersection(step.before):
                found.add(step.name)
        return found

    def before(self, name: str) -> set[str]:
        """Name the steps that this one needs, itself or by others."""
        found = set(self.steps[name].before)
        for step in reversed(list(self.steps.values())):
            if step.name in found:
                found.update(step.before)
        return found


def text_of(value: Any) -> str:
    """Give a value's text, in which references are looked for; of a list or mapping, of all that is in it."""
    if isinstance(value, Mapping):
        return " ".join(map(text_of, value.values()))
    if isinstance(value, list | tuple):
        return " ".join(map(text_of, value))
    return str(value)


def load(file: Path) -> Pipeline:
    """Read a pipeline's file.

    Raises:
        ConfigError: it is none; everything that is wrong in it at once, with its line.
    """
    if not file.is_file():
        raise ConfigError(
            f"There is no pipeline {file}.", hint="Write one (`dlops init DIR` shows how), or name it: -c FILE."
        )
    document = yaml.load(file, as_text=True)
    return parse(document.values, file=str(file), base=file.parent, line=_lines(file))


def parse(values: Mapping[str, Any], *, file: str, base: Path, line: Mapping[str, int] | None = None) -> Pipeline:
    """Make a pipeline of what a file, or a run's record, holds.

    Raises:
        ConfigError: it is none; everything that is wrong in it at once.
    """
    known = ("steps", "parallel")
    problems = [f"{file}: {key!r} is unknown{suggestion(key, known)}" for key in values if key not in known]
    stated = values.get("steps")
    if not isinstance(stated, Mapping) or not stated:
        problems.append(f"{file}: needs steps: with one NAME: for each, not {stated!r}")
        stated = {}
    steps = {}
    for name, body in stated.items():
        number = (line or {}).get(str(name))
        where = f"{file}:{number}" if number else file
        if step := _step(str(name), body, where, problems):
            steps[step.name] = step
    parallel = _whole(values.get("parallel", 0), 10**3, f"{file}: parallel", problems)
    problems += list(_wrong_names(steps, [str(name) for name in stated]))
    ordered = _ordered(steps, problems)
    if problems:
        raise ConfigError(f"The pipeline {file} cannot be used.", problems=problems)
    return Pipeline(steps=ordered, parallel=parallel, file=file, base=base)


def _lines(file: Path) -> dict[str, int]:
    """Give the line of each step's name."""
    import yaml as pyyaml

    node = pyyaml.compose(file.read_text(encoding="utf-8"), Loader=pyyaml.SafeLoader)
    steps = next((body for key, body in getattr(node, "value", ()) if key.value == "steps"), None)
    pairs = steps.value if isinstance(steps, pyyaml.MappingNode) else ()
    return {str(key.value): key.start_mark.line + 1 for key, _ in pairs}


_KEYS = ("entry_point", "parameters", "target", "needs", "when", "retries", "depends", "cache")


def _step(name: str, body: Any, where: str, problems: list[str]) -> Step | None:
    """Read one step; `None` where it cannot be read at all."""
    before = len(problems)
    if not _NAME.fullmatch(name):
        problems.append(f"{where}: {name!r} cannot name a step: letters, digits, - and _ do")
    if body is None or body == "":
        body = {}
    if not isinstance(body, Mapping):
        problems.append(f"{where}: {name} holds KEY: VALUE lines, not {body!r}")
        return None
    told = f"{where}: {name}"
    problems += [
        f"{told}: {key!r} is unknown{suggestion(str(key), _KEYS)}; parameters go below parameters:"
        for key in body
        if key not in _KEYS
    ]
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        problems.append(f"{told}: parameters holds KEY: VALUE lines, not {parameters!r}")
        parameters = {}
    for key, value in parameters.items():
        _checked_references(text_of(value), f"{told}: {key}", problems)
    step = Step(
        name=name,
        entry_point=_text(body, "entry_point", told, problems),
        parameters={str(key): value for key, value in parameters.items()},
        target=_text(body, "target", told, problems),
        needs=_texts(body, "needs", told, problems) or (),
        when=tuple(_conditions(body, told, problems)),
        retries=_whole(body.get("retries", 0), _MOST_RETRIES, f"{told}: retries", problems),
        depends=_texts(body, "depends", told, problems),
        cache=_truth(body, "cache", told, problems),
        where=where,
    )
    return step if len(problems) == before else None


def _checked_references(text: str, where: str, problems: list[str]) -> None:
    try:
        list(references.found(text))
    except ValueError as error:
        problems.append(f"{where}: {error}")


def _conditions(body: Mapping[str, Any], told: str, problems: list[str]) -> Iterator[Condition]:
    for text in _texts(body, "when", told, problems) or ():
        try:
            yield conditions.parse(text)
        except ValueError as error:
            problems.append(f"{told}: when: {error}")


def _text(body: Mapping[str, Any], key: str, told: str, problems: list[str]) -> str:
    value = body.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    problems.append(f"{told}: {key} takes a text, not {value!r}")
    return ""


def _texts(body: Mapping[str, Any], key: str, told: str, problems: list[str]) -> tuple[str, ...] | None:
    """Read a list of texts, of which a single one may stand by itself; `None` where nothing is said."""
    value = body.get(key)
    if value is None:
        return None
    value = [value] if isinstance(value, str) else value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    problems.append(f"{told}: {key} takes a text, or a list of them, not {value!r}")
    return None


def _truth(body: Mapping[str, Any], key: str, told: str, problems: list[str]) -> bool | None:
    value = str(body.get(key, "")).lower()
    if value in ("", "true", "false"):
        return None if not value else value == "true"
    problems.append(f"{told}: {key} is true or false, not {value!r}")
    return None


def _whole(value: Any, most: int, told: str, problems: list[str]) -> int:
    if str(value).isdecimal() and int(value) <= most:
        return int(value)
    problems.append(f"{told} takes a whole number from 0 to {most}, not {value!r}")
    return 0


def _wrong_names(steps: Mapping[str, Step], known: Sequence[str]) -> Iterator[str]:
    for step in steps.values():
        for name in step.before:
            if name == step.name:
                yield f"{step.where}: {step.name} needs itself"
            elif name not in known:
                yield f"{step.where}: {step.name} needs {name!r}, which is no step{suggestion(name, known)}"


def _ordered(steps: Mapping[str, Step], problems: list[str]) -> dict[str, Step]:
    """Put each step after those that it needs, else as they are written; a cycle is a problem."""
    left, done = dict(steps), dict[str, Step]()
    while left:
        ready = [step for step in left.values() if not set(step.before) & left.keys() - {step.name}]
        if not ready:
            problems.append(f"{next(iter(left.values())).where}: {_cycle(left)}")
            return done
        done[ready[0].name] = left.pop(ready[0].name)
    return done


def _cycle(steps: Mapping[str, Step]) -> str:
    """Tell one cycle; every step here needs another one of them."""
    way = [next(iter(steps))]
    while way.count(way[-1]) == 1:
        way.append(next(name for name in steps[way[-1]].before if name in steps))
    ring = way[way.index(way[-1]) :]
    return f"a cycle: {' needs '.join(ring)}"
