"""The data card: what a dataset is made of and what the checks found, as a JSON document and as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlops.data import svg
from dlops.data.checks import COUNTED, Finding
from dlops.data.cleaning import Changes
from dlops.data.distributions import Distributions, Lengths
from dlops.data.page import named, number, page, safe, section, table

VERSION = 1
"""Of the document's layout."""
_CLASSES = 50
"""Classes that the table of labels lists: the most frequent."""
_SLICES = 12
"""Slices that are drawn for each column: those with the most rows."""
_CHARACTERS = 400
"""Of a text that is shown."""
_MARKS = {"failed": "✕", "warning": "!", "ok": "✓", "skipped": "·"}
"""By status, in the order in which findings are listed."""
_AT_LEAST = ("label_balance",)
"""Checks whose figure must not be below the threshold; that of the others must not be above it."""
_CLEANED = {
    "html": "HTML tags or entities",
    "unicode": "another Unicode normal form",
    "whitespace": "blanks or control characters alone",
    "changed": "any of these",
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """One dataset's card; it holds no text of the dataset unless `examples` is set."""

    title: str
    description: Mapping[str, Any]
    """How it was made: plain values, also nested ones."""
    findings: Sequence[Finding]
    distributions: Distributions
    """Of the rows as they are written."""
    as_read: Lengths = field(default_factory=Lengths)
    """Of the texts before they were cleaned."""
    changes: Changes = field(default_factory=Changes)
    """What cleaning changed."""
    refused: Sequence[str] = ()
    """Checks that were not to find anything, and did: nothing was written."""
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Id → label, where there are labels, and text of some rows."""
    examples: bool = False
    """Whether those are shown."""

    def document(self) -> dict[str, Any]:
        """Give everything as plain values, for JSON."""
        shown = self.texts.items() if self.examples else ()
        return {
            "version": VERSION,
            "title": self.title,
            "refused": list(self.refused),
            "description": dict(self.description),
            "findings": [finding.as_dict() for finding in self.findings],
            "cleaned": self.changes.as_dict(),
            "words_as_read": self.as_read.as_dict(),
            "distributions": self.distributions.as_dict(),
            "examples": [{"id": name, **row} for name, row in shown],
        }

    def html(self) -> str:
        """Give one page that needs nothing else: no script, no request, in light and in dark."""
        found = self.distributions
        parts = [
            self._header(),
            section("Findings", _findings(self.findings)),
            section("Lengths", _lengths(found.lengths, self.as_read)),
            section("Labels", _labels(found)) if found.shares.labelled else "",
            *(section(f"Labels by {column}", _slices(found, column)) for column in found.slices),
            section("What cleaning changed", _changes(self.changes)) if self.changes.texts else "",
            section("How it was made", _description(self.description)),
            section("Examples", _examples(self.texts)) if self.examples and self.texts else "",
        ]
        return page(f"{self.title} · data card", "\n".join(parts))

    def _header(self) -> str:
        shares, lengths = self.distributions.shares, self.distributions.lengths
        troubled = [finding for finding in self.findings if finding.status in ("warning", "failed")]
        ran = [finding for finding in self.findings if finding.status != "skipped"]
        facts = {
            "rows": f"{shares.total:,}",
            **({"classes": "numbers" if shares.numbers else f"{len(shares.labels):,}"} if shares.labelled else {}),
            "words, median": f"{lengths.quantile(0.5):,}",
            "checks to look at": f"{len(troubled)} of {len(ran)}",
        }
        tiles = "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>" for name, value in facts.items())
        heading = f"<p>Data card</p><h1>{named(self.title)}</h1>{_refusal(self.refused)}"
        return f"<header>{heading}<dl class=tiles>{tiles}</dl></header>"


def _refusal(checks: Sequence[str]) -> str:
    if not checks:
        return ""
    told = f"Nothing was written: fail_on= names {', '.join(map(_spaced, checks))}, where something was found."
    return f"<p class=refused>{safe(told)}</p>"


def _findings(findings: Sequence[Finding]) -> str:
    in_order = sorted(findings, key=lambda finding: list(_MARKS).index(finding.status))
    head = ("Check", "Status", "What was found", "Figure", "Threshold", "Rows looked at")
    return table(head, [_finding(finding) for finding in in_order], "Findings", numbers=(3, 4, 5))


def _finding(finding: Finding) -> str:
    figures = ["", "", ""]
    if finding.status != "skipped":
        bound = "≥" if finding.name in _AT_LEAST else "≤"
        figure, threshold = (_figure(finding.name, value) for value in (finding.figure, finding.threshold))
        figures = [figure, f"{bound} {threshold}", f"{finding.rows_checked:,}{' (sample)' if finding.sampled else ''}"]
    mark = f"<span aria-hidden=true>{_MARKS[finding.status]}</span> {finding.status}"
    return (
        f"<tr><th scope=row class=name>{safe(_spaced(finding.name))}</th>"
        f"<td><span class='status {finding.status}'>{mark}</span></td>"
        f"<td class=told>{safe(finding.message)}{_rows_named(finding.examples)}</td>"
        f"{''.join(map(number, figures))}</tr>"
    )


def _rows_named(examples: Sequence[str]) -> str:
    names = " ".join(f"<code>{safe(name)}</code>" for name in examples)
    return f"<details><summary>Rows</summary>{names}</details>" if names else ""


def _figure(name: str, figure: float) -> str:
    return f"{figure:,.0f}" if name in COUNTED else f"{figure:.2%}"


def _lengths(written: Lengths, read: Lengths) -> str:
    bins = written.histogram()
    if not bins:
        return "<p>There are no texts.</p>"
    told = f"Histogram of the words of {written.texts:,} texts, from {written.shortest:,} to {written.longest:,} words."
    measured = {name: lengths for name, lengths in (("as read", read), ("as written", written)) if lengths.texts}
    rows = []
    for name in _measures(written):
        cells = "".join(number(f"{_measures(lengths)[name]:,}") for lengths in measured.values())
        rows.append(f"<tr><th scope=row>{name}</th>{cells}</tr>")
    drawn = svg.histogram(bins, told, "Texts by number of words (logarithmic)")
    return drawn + table(("Words of a text", *measured), rows, "Words of a text", numbers=(1, 2))


def _measures(lengths: Lengths) -> dict[str, int]:
    shares = {f"{share}% have at most": lengths.quantile(share / 100) for share in (5, 25, 50, 75, 95, 99)}
    return {"texts": lengths.texts, "shortest": lengths.shortest, **shares, "longest": lengths.longest}


def _labels(distributions: Distributions) -> str:
    shares = distributions.shares
    if shares.numbers:
        return _numbers(distributions)
    classes, splits = _classes(distributions), shares.splits()
    bars = {
        name: (shares.rows[name], {label: found[name] for label, found in shares.labels.items()}) for name in splits
    }
    rows = []
    for label in classes[:_CLASSES]:
        cells = "".join(_share(shares.labels[label].get(name, 0), shares.rows[name]) for name in splits)
        rows.append(f"<tr><th scope=row>{named(label)}</th>{cells}</tr>")
    caption = "Rows and share of each class by split"
    listed = table(("Class", *splits), rows, caption, numbers=range(1, len(splits) + 1))
    more = _more(len(classes) - len(rows), "classes are in the JSON document")
    return _drawn(bars, classes, "Share of each class by split") + listed + more


def _numbers(distributions: Distributions) -> str:
    shares = distributions.shares
    head = ("Split", "Rows", "Minimum", "Mean", "Maximum")
    rows = []
    for name in shares.splits():
        found = shares.numbers[name].as_dict()
        cells = "".join(number(f"{found.get(key, 0):,.4g}") for key in ("minimum", "mean", "maximum"))
        rows.append(f"<tr><th scope=row>{named(name)}</th>{number(f'{shares.rows[name]:,}')}{cells}</tr>")
    return table(head, rows, "Labels, which are numbers, by split", numbers=range(1, len(head)))


def _slices(distributions: Distributions, column: str) -> str:
    slices = distributions.slices[column]
    values = slices.largest(_SLICES)
    bars = {value: (slices.rows[value], slices.labels[value]) for value in values}
    more = _more(len(slices.rows) - len(values), "values with fewer rows are not drawn")
    return _drawn(bars, _classes(distributions), f"Share of each class by {column}") + more


def _drawn(bars: Mapping[str, tuple[int, Mapping[str, int]]], classes: Sequence[str], told: str) -> str:
    coloured = svg.coloured(classes)
    return svg.legend(coloured, len(classes) - len(coloured)) + svg.shares(bars, coloured, told)


def _classes(distributions: Distributions) -> list[str]:
    """Give the classes, the most frequent first."""
    labels = distributions.shares.labels
    return sorted(labels, key=lambda label: (-sum(labels[label].values()), label))


def _share(count: int, rows: int) -> str:
    return number(f"{count:,} <span class=muted>{f'{count / rows:.1%}' if rows else 'none'}</span>")


def _changes(changes: Changes) -> str:
    counts = changes.as_dict()
    rows = [
        f"<tr><th scope=row>{what}</th>{_share(counts[name], changes.texts)}</tr>" for name, what in _CLEANED.items()
    ]
    return table(("What was mended", f"Of {changes.texts:,} texts"), rows, "Texts that cleaning changed", numbers=(1,))


def _description(description: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><th scope=row class=name>{safe(_spaced(name))}</th><td>{safe(_plain(value))}</td></tr>"
        for name, value in description.items()
    ]
    return table(("What", "Value"), rows, "Source, columns, cleaning, splits and counts")


def _plain(value: Any) -> str:
    """Write a value that may hold others for reading."""
    if isinstance(value, Mapping):
        return "; ".join(f"{_spaced(name)}: {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _examples(texts: Mapping[str, Mapping[str, str]]) -> str:
    rows = []
    for name, row in texts.items():
        cells = "".join(f"<td>{_shortened(value)}</td>" for value in row.values())
        rows.append(f"<tr><th scope=row><code>{safe(name)}</code></th>{cells}</tr>")
    columns = next(iter(texts.values()))
    return table(("Row", *map(str.capitalize, columns)), rows, "Some rows")


def _shortened(text: str) -> str:
    return named(text[:_CHARACTERS]) + ("…" if len(text) > _CHARACTERS else "")


def _more(count: int, what: str) -> str:
    return f"<p>{count:,} more {what}.</p>" if count > 0 else ""


def _spaced(name: object) -> str:
    return str(name).replace("_", " ")
