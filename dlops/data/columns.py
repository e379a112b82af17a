"""Which columns of raw data play which role: as named, or recognised by usual names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from dlops.config.parameters import suggestion
from dlops.errors import DataError

TEXT = (
    *("text", "review", "sentence", "content", "comment", "body", "message", "document", "tweet"),
    *("review_text", "reviewtext", "review_body", "texts", "reviews", "sentences"),
)
LABEL = (
    *("label", "sentiment", "class", "category", "target", "rating", "labels", "stars", "polarity"),
    *("topic", "intent", "emotion", "y"),
)
OURS = ("id", "text", "text_pair", "label", "split", "group")
"""Columns that every table has or may have; no other column may be called so."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Columns as the user names them; a text or label that is `None` is to be recognised, the others are left out."""

    labelled: bool = True
    """Whether there is a label; without, `label` is not looked at."""

    text: str | None = None
    label: str | None = None
    text_pair: str | None = None
    group: str | None = None
    split: str | None = None
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The column of each role; an empty name is a role that nothing plays."""

    text: str
    label: str = ""
    text_pair: str = ""
    group: str = ""
    split: str = ""
    keep: tuple[str, ...] = ()

    def named(self) -> dict[str, str]:
        """Give the roles that are played, as they are told and kept."""
        roles = {name: str(getattr(self, name)) for name in ("text", "text_pair", "label", "group", "split")}
        return {name: column for name, column in roles.items() if column} | {f"keep {name}": name for name in self.keep}

    def texts(self) -> dict[str, str]:
        """Give the columns that are cleaned, and by which a row is known, by their roles."""
        return {name: column for name in ("text", "text_pair") if (column := str(getattr(self, name)))}

    def columns(self) -> tuple[str, ...]:
        return tuple(self.named().values())


def choose(columns: Sequence[str], wanted: Wanted, *, where: str) -> Roles:
    """Give each role its column.

    A column named exactly `text` or `label` is taken before the other usual names; case does not matter. Where there
    is no label, a text that stands alone may have any name.

    Raises:
        DataError: a named column is not there, none is recognised, several are, or one would play two roles.
    """
    problems: list[str] = []
    others = {name: str(getattr(wanted, name) or "") for name in ("text_pair", "group", "split")}
    taken = {*others.values(), *wanted.keep}
    free = [column for column in columns if column not in taken]
    kept = [column for column in wanted.keep if column in columns and column not in others.values()]
    alone = free[0] if len(free) == 1 and not wanted.labelled else None
    text = _recognised(free, kept, columns, "text", wanted.text or alone, TEXT, problems)
    label = _recognised(free, kept, columns, "label", wanted.label, LABEL, problems) if wanted.labelled else ""
    problems += [
        f"there is no column {name!r}{suggestion(name, columns)}"
        for name in filter(None, [*others.values(), *wanted.keep])
        if name not in columns
    ]
    if text and text == label:
        problems.append(f"{text!r} cannot be both the text and the label")
    if text and text == others["text_pair"]:
        problems.append(f"{text!r} cannot be both the text and its pair")
    problems += [f"keep: {name!r} is the name of a column that dlops writes" for name in wanted.keep if name in OURS]
    if problems:
        hint = f"The columns there are: {', '.join(columns) or 'none'}. {_example(columns, labelled=wanted.labelled)}"
        if wanted.labelled and not label:
            hint += ". Texts without labels are read with target=none."
        raise DataError(f"The columns of {where} could not be matched.", hint=hint, problems=problems)
    return Roles(text=text, label=label, keep=wanted.keep, **others)


def _recognised(
    free: Sequence[str],
    kept: Sequence[str],
    columns: Sequence[str],
    role: str,
    named: str | None,
    usual: Sequence[str],
    problems: list[str],
) -> str:
    """Find the column of a role among those that are free, then among those that are to be kept, too."""
    if named is not None:
        if named not in columns:
            problems.append(f"there is no column {named!r}{suggestion(named, columns)}")
        return named
    known = [column for column in free if column.strip().lower() in usual]
    known = known or [column for column in kept if column.strip().lower() in usual]
    exact = [column for column in known if column.strip().lower() == role]
    if len(exact or known) == 1:
        return (exact or known)[0]
    if known:
        problems.append(f"several columns may hold the {role}: {', '.join(known)}")
    else:
        problems.append(f"no column has a usual name of a {role} ({', '.join(usual[:5])} …)")
    return ""


def _example(columns: Sequence[str], *, labelled: bool) -> str:
    """Write what can be pasted behind the command, with columns that are there."""
    usual = [column for column in columns if column.strip().lower() in LABEL]
    first, second = [*(column for column in columns if column not in usual), "COLUMN", "COLUMN"][:2]
    named = {"text": first} | ({"label": usual[0] if usual else second} if labelled else {})
    words = " ".join(shlex.quote(f"{role}={column}") for role, column in named.items())
    return f"Name {'them' if labelled else 'it'}, for example: {words}"
