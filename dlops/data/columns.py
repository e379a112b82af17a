"""Which columns of raw data hold the text and the label: as named, or recognised by usual names."""

from __future__ import annotations

from collections.abc import Sequence

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


def choose(columns: Sequence[str], *, text: str | None, label: str | None, where: str) -> tuple[str, str]:
    """Give the names of the text column and the label column.

    A column named exactly `text` or `label` is taken before the other usual names; case does not matter.

    Raises:
        DataError: a named column is not there, none is recognised, or several are.
    """
    problems: list[str] = []
    found = [
        _one(columns, "text", text, TEXT, problems),
        _one(columns, "label", label, LABEL, problems),
    ]
    if not problems and found[0] == found[1]:
        problems.append(f"{found[0]!r} cannot be both the text and the label")
    if problems:
        there = ", ".join(columns) or "none"
        hint = f"The columns there are: {there}. Name them: text=COLUMN label=COLUMN."
        raise DataError(f"The columns of {where} could not be matched.", hint=hint, problems=problems)
    return found[0], found[1]


def _one(columns: Sequence[str], role: str, named: str | None, usual: Sequence[str], problems: list[str]) -> str:
    if named is not None:
        if named not in columns:
            problems.append(f"there is no column {named!r}{suggestion(named, columns)}")
        return named
    known = [column for column in columns if column.strip().lower() in usual]
    exact = [column for column in known if column.strip().lower() == role]
    if len(exact or known) == 1:
        return (exact or known)[0]
    if known:
        problems.append(f"several columns may hold the {role}: {', '.join(known)}")
    else:
        problems.append(f"no column has a usual name of a {role} ({', '.join(usual[:5])} …)")
    return ""
