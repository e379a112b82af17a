"""What may be wrong with data, looked for before anything is written: a figure, a threshold and examples for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from dlops.config.parameters import suggestion
from dlops.data import ahead, languages, near_duplicates, splits
from dlops.data.conversion import Counts
from dlops.data.distributions import Distributions
from dlops.data.near_duplicates import NearDuplicates
from dlops.data.personal_data import PersonalData
from dlops.data.staging import Table
from dlops.errors import UsageError

Status: TypeAlias = Literal["ok", "warning", "failed", "skipped"]

LIMITS: dict[str, float] = {
    "schema": 0,  # rows with a value of the wrong kind; more fail
    "missing": 0.05,  # share of the rows read that lack a text or label, or of a column's values that are missing
    "label_balance": 0.1,  # the rarest class against its part if all were equally frequent; one class fails
    "conflicting_labels": 0,  # share of the rows read whose text came before with another label
    "duplicates": 0.1,  # share of the rows read whose text came before
    "near_duplicates": 0.05,  # share of the rows that are almost the same as an earlier one
    "leakage": 0,  # texts that are (almost) the same in two splits
    "encoding": 0.001,  # share of texts with damaged characters
    "personal_data": 0.001,  # share of texts with likely e-mail addresses, phone numbers and the like
    "lengths": 0.02,  # share of texts much longer than the others
    "language": 0.05,  # share of texts in another language than most
    "splits": 0.01,  # difference between a class's share in a split and in all, where chance does not explain it
    "bias": 0.2,  # the same between a slice and all
}
"""The figure of each check above which it warns; below which, of the label balance."""
NAMES = tuple(LIMITS)
COUNTED = ("schema", "leakage")
"""Checks whose figure is a number of rows; of the others it is a share."""
ABOUT_LABELS = ("label_balance", "conflicting_labels", "splits", "bias")
"""Checks that rows without labels do not have."""
ALL = "all"

LANGUAGE_ROWS = 1_000
SLICE_ROWS = 30
"""Rows that a slice must have to be compared."""
_STANDARD_ERRORS = 4
"""What chance explains: beyond four standard errors lies one of 16,000 differences."""
_EXAMPLES = 5
# UTF-8 read as Windows-1252 or Latin-1, and bytes that were no UTF-8 at all. The marks are what Windows-1252 has where
# Latin-1 has control characters, so what the second byte of a letter turns into.
_MARKS = bytes(code for code in range(0x80, 0xA0) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)).decode("cp1252")
_DAMAGED = rf"\x{{FFFD}}|[\x{{80}}-\x{{9f}}]|[ÃÂÐÑ][\x{{a0}}-\x{{bf}}]|[ÃÐÑ][{_MARKS}]|â€|ï»¿|ðŸ"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found."""

    name: str
    status: Status
    figure: float = 0.0
    threshold: float = 0.0
    message: str = ""
    examples: tuple[str, ...] = ()
    """Ids of rows, or FILE:LINE."""
    rows_checked: int = 0
    sampled: bool = False
    """Whether there were more rows than those."""

    def as_dict(self) -> dict[str, Any]:
        """Give what a dataset's metadata keep."""
        return {**asdict(self), "examples": list(self.examples)}


def named(names: Collection[str], parameter: str) -> frozenset[str]:
    """Give the checks that a parameter names; `all` is every one.

    Raises:
        UsageError: one of the names is no check.
    """
    wrong = [f"{name!r} is no check{suggestion(name, NAMES)}" for name in names if name not in (*NAMES, ALL)]
    if wrong:
        raise UsageError(f"'{parameter}' is wrong.", problems=wrong, hint=f"The checks are {', '.join(NAMES)}.")
    return frozenset(NAMES if ALL in names else names)


@dataclass(kw_only=True)
class Checks:
    """Looks at rows as they stream past, in the order of their ids, then tells what it found."""

    skip: Collection[str] = ()
    slice_by: Sequence[str] = ()
    """Columns whose values are compared with each other: the group, and others that are kept."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Thresholds other than the usual ones."""
    labelled: bool = True
    """Whether the rows have labels."""
    examples: bool = False
    """Whether some texts are kept to be shown."""
    distributions: Distributions = field(init=False)
    texts: dict[str, dict[str, str]] = field(init=False, default_factory=dict)
    """Id → label, where there are labels, and text of the first rows, where examples are asked for."""

    def __post_init__(self) -> None:
        self._limits = {**LIMITS, **self.limits}
        self._skipped = named(self.skip, "skip") | (named(self.limits, "limits") - set(NAMES))
        self.distributions = Distributions(slice_by=tuple(dict.fromkeys(self.slice_by)))
        self._schema = _Schema(labelled=self.labelled)
        self._near = near_duplicates.Search()
        self._personal = PersonalData()
        self._languages = _Languages()
        self._nulls: Counter[str] = Counter()
        self._damaged = 0
        self._damaged_ids: list[str] = []

    @property
    def rows(self) -> int:
        return self.distributions.lengths.texts

    def observe(self, table: Table) -> None:
        """Look at rows."""
        looks: list[Callable[[Table], None]] = [self.distributions.add, self._observe_columns]
        looks += [look for name, look in self._looks.items() if name not in self._skipped]
        for _ in ahead.mapped(lambda look: look(table), looks):
            pass

    @property
    def _looks(self) -> dict[str, Callable[[Table], None]]:
        """Give what looks at rows for one check alone; each has its own place to note what it saw."""
        near = "near_duplicates" if "leakage" in self._skipped else "leakage"
        return {
            near: self._near.add,
            "language": self._languages.add,
            "schema": self._schema.add,
            "personal_data": self._personal.add,
            "encoding": self._observe_encoding,
        }

    def _observe_columns(self, table: Table) -> None:
        if self.examples and not self.texts:
            first = table.slice(0, _EXAMPLES).to_pylist()
            shown = ("label", "text") if self.labelled else ("text",)
            self.texts = {row["id"]: {name: str(row[name]) for name in shown} for row in first}
        for name in table.column_names:
            self._nulls[name] += table[name].null_count

    def findings(self, read: Counts, examples: Mapping[str, Sequence[str]] | None = None) -> list[Finding]:
        """Tell what was found in the rows, and in those that earlier stages read and left out.

        `examples` are rows that earlier stages found, as FILE:LINE, by the name of the check.
        """
        self._examples = {name: tuple(found[:_EXAMPLES]) for name, found in (examples or {}).items()}
        near = self._near.found()
        made = {
            "schema": self._find_schema,
            "missing": lambda: self._find_missing(read),
            "label_balance": self._find_label_balance,
            "conflicting_labels": lambda: self._find_conflicts(read),
            "duplicates": lambda: self._find_duplicates(read),
            "near_duplicates": lambda: self._find_near_duplicates(near),
            "leakage": lambda: self._find_leakage(read, near),
            "encoding": self._find_encoding,
            "personal_data": self._find_personal_data,
            "lengths": self._find_lengths,
            "language": self._find_language,
            "splits": self._find_splits,
            "bias": self._find_bias,
        }
        skipped = Finding(name="", status="skipped", message="Left out, as skip= says.")
        names = [name for name in NAMES if self.labelled or name not in ABOUT_LABELS]
        return [_renamed(skipped, name) if name in self._skipped else made[name]() for name in names]

    def _finding(self, name: str, figure: float, message: str, **more: Any) -> Finding:
        threshold = more.pop("threshold", self._limits[name])
        status = more.pop("status", "warning" if figure > threshold else "ok")
        more = {"rows_checked": self.rows, "examples": self._examples.get(name, ()), **more}
        return Finding(name=name, status=status, figure=figure, threshold=threshold, message=message, **more)

    def _untold(self, name: str, why: str) -> Finding:
        return self._finding(name, 0.0, why, status="skipped", rows_checked=0)

    def _observe_encoding(self, table: Table) -> None:
        beyond = table.filter(pc.invert(pc.string_is_ascii(table["text"].fill_null(""))))
        if not len(beyond):  # pyarrow 25 may die of a regular expression over no text at all
            return
        damaged = beyond.filter(pc.match_substring_regex(beyond["text"], _DAMAGED))
        self._damaged += len(damaged)
        self._damaged_ids += damaged["id"].slice(0, _EXAMPLES - len(self._damaged_ids)).to_pylist()

    def _find_schema(self) -> Finding:
        wrong = self._schema.wrong
        told = "; ".join(f"{name}: {count} rows" for name, count in wrong.most_common(5))
        status: Status = "failed" if wrong.total() > self._limits["schema"] else "ok"
        message = told or "Every column has its type, every id is there once, every split is known."
        return self._finding("schema", wrong.total(), message, status=status, examples=tuple(self._schema.ids))

    def _find_missing(self, read: Counts) -> Finding:
        whole = _share(read.empty, read.rows_in)
        columns = {name: _share(count, self.rows) for name, count in self._nulls.items()}
        name, most = max(columns.items(), key=lambda item: item[1], default=("", 0.0))
        lacking = "no text or no label" if self.labelled else "no text"
        told = f"{read.empty} of {read.rows_in} rows had {lacking} and were left out"
        told += f"; {most:.1%} of the column {name!r} is missing." if most else "."
        return self._finding("missing", max(whole, most), told, rows_checked=read.rows_in)

    def _find_label_balance(self) -> Finding:
        shares = self.distributions.shares
        if shares.numbers:
            return self._untold("label_balance", "Labels are numbers.")
        found = _label_counts(self.distributions)
        if len(found) < 2:
            told = f"Every row has the label {next(iter(found))!r}." if found else "There is no label."
            return self._finding("label_balance", 1.0, told, status="failed")
        label, rows = min(found.items(), key=lambda item: (item[1], item[0]))
        share, least = _share(rows, self.rows), self._limits["label_balance"] / len(found)
        told = f"The rarest of {len(found)} classes is {label!r} with {rows} of {self.rows} rows ({share:.1%})."
        status: Status = "warning" if share < least else "ok"
        return self._finding("label_balance", share, told, threshold=least, status=status)

    def _find_conflicts(self, read: Counts) -> Finding:
        told = f"{read.conflicting} rows have the text of an earlier row, but another label; the first one stays."
        figure = _share(read.conflicting, read.rows_in)
        return self._finding("conflicting_labels", figure, told, rows_checked=read.rows_in)

    def _find_duplicates(self, read: Counts) -> Finding:
        told = f"{read.duplicates} of {read.rows_in} rows have the text of an earlier one and were left out."
        return self._finding("duplicates", _share(read.duplicates, read.rows_in), told, rows_checked=read.rows_in)

    def _find_near_duplicates(self, near: NearDuplicates) -> Finding:
        again = len(near.drop)
        told = f"{again} rows say almost the same as another one, in {len(near.clusters)} clusters{_of(near)}."
        ids = tuple(name for cluster in near.clusters for name in cluster[:2])[:_EXAMPLES]
        figure = _share(again, near.rows_checked)
        more = {"examples": ids, "rows_checked": near.rows_checked, "sampled": near.sampled}
        return self._finding("near_duplicates", figure, told, **more)

    def _find_leakage(self, read: Counts, near: NearDuplicates) -> Finding:
        told = f"{near.leaking} clusters of near duplicates lie in several splits{_of(near)}."
        if read.leaking:
            told += f" {read.leaking} rows had the text of one in another split of the source's own and were left out."
        ids = tuple(name for leak in near.leaks for name in leak)[:_EXAMPLES] or self._examples.get("leakage", ())
        more = {"examples": ids, "rows_checked": near.rows_checked, "sampled": near.sampled}
        return self._finding("leakage", read.leaking + near.leaking, told, **more)

    def _find_encoding(self) -> Finding:
        told = f"{self._damaged} texts hold characters as a wrong encoding leaves them, such as Ã© for é."
        figure = _share(self._damaged, self.rows)
        return self._finding("encoding", figure, told, examples=tuple(self._damaged_ids))

    def _find_personal_data(self) -> Finding:
        seen = self._personal
        kinds = ", ".join(f"{count} {name}" for name, count in seen.kinds.items() if count) or "none"
        told = f"{seen.rows} texts likely hold personal data ({kinds}){_of(seen)}."
        more = {"examples": tuple(seen.ids[:_EXAMPLES]), "rows_checked": seen.rows_checked, "sampled": seen.sampled}
        return self._finding("personal_data", _share(seen.rows, seen.rows_checked), told, **more)

    def _find_lengths(self) -> Finding:
        lengths = self.distributions.lengths
        low, high = (math.log(max(1, lengths.quantile(share))) for share in (0.25, 0.75))
        fence = round(math.exp(high + 1.5 * (high - low)), 6)
        beyond = lengths.beyond(fence)
        told = (
            f"Texts have {lengths.shortest} to {lengths.longest} words, half of them at most {lengths.quantile(0.5)}; "
        )
        told += f"{beyond} are outliers of more than {int(fence)}."
        return self._finding("lengths", _share(beyond, lengths.texts), told)

    def _find_language(self) -> Finding:
        found, rows = self._languages.found, self._languages.rows
        if not found:
            return self._untold("language", f"No text has {languages.LETTERS} letters.")
        told = ", ".join(f"{name} {_share(count, found.total()):.1%}" for name, count in found.most_common(5))
        figure = 1 - _share(found.most_common(1)[0][1], found.total())
        more = {"examples": tuple(self._languages.others()), "rows_checked": rows, "sampled": self.rows > rows}
        return self._finding("language", figure, f"Languages of {found.total()} texts: {told}.", **more)

    def _find_splits(self) -> Finding:
        shares = self.distributions.shares
        if shares.numbers:
            return self._untold("splits", "Labels are numbers.")
        empty = [name for name in (splits.NAMES[0], splits.NAMES[2]) if not shares.rows.get(name)]
        if empty:
            return self._finding("splits", 1.0, f"No row is in {' and '.join(empty)}.")
        parts = {
            name: (rows, {label: found[name] for label, found in shares.labels.items()})
            for name, rows in shares.rows.items()
        }
        gaps = self._gaps(parts, "splits")
        return self._gap("splits", gaps, "The shares of all classes are the same in all splits, but for chance.")

    def _find_bias(self) -> Finding:
        if not self.distributions.slices:
            return self._untold("bias", "No column was named by group= or slice_by=, or labels are numbers.")
        gaps = []
        for column, slices in self.distributions.slices.items():
            parts = {
                f"{column}={value}": (rows, slices.labels[value])
                for value, rows in slices.rows.items()
                if rows >= SLICE_ROWS
            }
            gaps += list(self._gaps(parts, "bias"))
        return self._gap(
            "bias", iter(gaps), f"No slice of at least {SLICE_ROWS} rows has other shares, but for chance."
        )

    def _gaps(self, parts: Mapping[str, tuple[int, Mapping[str, int]]], name: str) -> Iterator[_Gap]:
        """Compare each class's share in each part with that in all rows."""
        for label, rows in _label_counts(self.distributions).items():
            share = _share(rows, self.rows)
            for part, (size, labels) in parts.items():
                # A part is drawn from all rows without putting any back.
                error = math.sqrt(share * (1 - share) / size * (1 - size / self.rows)) if size else 0.0
                here = _share(labels.get(label, 0), size)
                yield _Gap(part, label, here, share, max(_STANDARD_ERRORS * error, self._limits[name]))

    def _gap(self, name: str, gaps: Iterator[_Gap], nothing: str) -> Finding:
        """Tell of the largest gap that chance does not explain, else of the largest."""
        found = list(gaps)
        if not found:
            return self._finding(name, 0.0, nothing)
        worst = max(found, key=lambda gap: (gap.size > gap.allowed, gap.size))
        told = f"In {worst.part} {worst.here:.1%} of the rows are {worst.label!r}, in all {worst.share:.1%}; "
        told += f"a difference up to {worst.allowed:.1%} is let pass."
        return self._finding(name, worst.size, told, threshold=worst.allowed)


@dataclass(frozen=True)
class _Gap:
    """A class's share in a part of the rows beside that in all."""

    part: str
    label: str
    here: float
    share: float
    allowed: float

    @property
    def size(self) -> float:
        return abs(self.here - self.share)


class _Schema:
    """Types and values of columns, by pandera, and that ids rise from part to part."""

    def __init__(self, *, labelled: bool) -> None:
        self._labelled = labelled
        self.wrong: Counter[str] = Counter()
        self.ids: list[str] = []
        self._last = ""
        self._types: Any = None
        self._expected: Any = None

    def add(self, table: Table) -> None:
        import pandas as pd
        from pandera.errors import SchemaErrors

        if not len(table):
            return
        self._types = self._types or table.schema
        self._expected = self._expected or _expected(table.column_names, labelled=self._labelled)
        if table.schema != self._types:
            self.wrong["columns are not those of the first rows"] += len(table)
        ids = table["id"]
        if ids[0].as_py() and ids[0].as_py() <= self._last:
            self.wrong["id is not in order"] += 1
        self._last = ids[-1].as_py() or ""
        try:
            self._expected.validate(table.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
        except SchemaErrors as error:
            self._note(error.failure_cases, ids)

    def _note(self, cases: Any, ids: Any) -> None:
        """Count what pandera found wrong, by column and check, and keep ids; never a value, which may be a text."""
        for column, check, place in zip(cases["column"], cases["check"], cases["index"], strict=True):
            self.wrong[f"{column} {_TOLD.get(str(check).split('(')[0], 'is not of its type')}"] += 1
            if len(self.ids) < _EXAMPLES and place == place and place is not None:
                self.ids.append(str(ids[int(place)].as_py()))


_TOLD = {
    "not_nullable": "is missing",
    "field_uniqueness": "is not unique",
    "isin": "is no known split",
    "str_matches": "is no id",
    "str_length": "is empty",
    "column_in_dataframe": "is not there",
}


def _expected(columns: Sequence[str], *, labelled: bool) -> Any:
    import pandas as pd
    import pandera.pandas as pandera

    text = pd.ArrowDtype(pa.string())
    ours = {
        "id": pandera.Column(text, pandera.Check.str_matches(r"^[0-9a-f]{16}$"), unique=True),
        "text": pandera.Column(text, pandera.Check.str_length(min_value=1)),
        "split": pandera.Column(text, pandera.Check.isin(splits.NAMES)),
        **({"label": pandera.Column(None)} if labelled else {}),
    }
    others = {name: pandera.Column(text, nullable=True) for name in columns if name not in ours}
    return pandera.DataFrameSchema({**ours, **others})


@dataclass
class _Languages:
    """Languages of the first texts."""

    found: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    ids: dict[str, list[str]] = field(default_factory=dict)
    """By language, rows of some of its texts."""

    def add(self, table: Table) -> None:
        taken = table.slice(0, LANGUAGE_ROWS - self.rows)
        self.rows += len(taken)
        for name, text in zip(taken["id"].to_pylist(), taken["text"].to_pylist(), strict=True):
            if text and (language := languages.of(text)):
                self.found[language] += 1
                self.ids.setdefault(language, []).append(name)

    def others(self) -> list[str]:
        """Give rows in other languages than most."""
        main = self.found.most_common(1)[0][0]
        return [name for language, ids in self.ids.items() if language != main for name in ids][:_EXAMPLES]


def _label_counts(distributions: Distributions) -> dict[str, int]:
    return {label: sum(found.values()) for label, found in distributions.shares.labels.items()}


def _of(seen: NearDuplicates | PersonalData) -> str:
    return f", of the first {seen.rows_checked} rows, a random sample" if seen.sampled else ""


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _renamed(finding: Finding, name: str) -> Finding:
    return Finding(**{**asdict(finding), "name": name})
