"""Explanations as one HTML page that needs nothing else: trust, words, contrast, rows with their words coloured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlops.data.page import named, number, page, safe, section, table
from dlops.ml import page_parts
from dlops.ml.explanations import Explanation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURES = {
    "comprehensiveness": "output falls by, top fifth of the tokens hidden",
    "sufficiency": "output falls by, top fifth shown alone",
    "deletion": "mean output while tokens are hidden from the top",
}


def html(
    found: Mapping[str, Any],
    pictures: Mapping[str, Figure],
    first: Sequence[Explanation],
    wrong: Sequence[Explanation],
) -> str:
    """Lay out the document of a set of explanations, and some of them one by one."""
    parts = [
        _header(found),
        section("Requirements", page_parts.requirements(found["requirements"])) if found["requirements"] else "",
        section("Trust", _trust(found)),
        section("Strongest words", _words(found["words"]) + page_parts.pictures(pictures)) if found["words"] else "",
        section(f"Against {found['against']['model']}", _contrast(found["against"])) if found["against"] else "",
        section("Model and data disagree", "".join(map(_row, wrong))) if wrong else "",
        section("Rows", "".join(map(_row, first))) if first else "",
    ]
    return page(f"Explanations of {found['model']}", "".join(parts))


def _header(found: Mapping[str, Any]) -> str:
    tiles = {
        "rows": f"{found['rows']:,}",
        "method": found["method"].replace("_", " "),
        "seconds a row": f"{found['seconds_a_row']:.2g}",
        **({"rejected": f"{found['rejected']:,}"} if found["rejected"] else {}),
    }
    data = found["dataset"]
    source = f" on {named(data['reference'])}, digest {safe(data['digest'])}" if data else ""
    return (
        f"<header><h1>Explanations of {named(found['model'])}</h1>"
        f"<p>{named(found['model_uri'])}{source}</p>"
        f"<p>{safe(found['method'].replace('_', ' '))}: {safe(found['why'])}</p>"
        f"</header>{page_parts.tiles(tiles)}"
    )


def _trust(found: Mapping[str, Any]) -> str:
    trust = found["trust"]
    floor = trust.get("by_chance", {})
    rows = [
        f"<tr><th scope=row>{safe(told)}</th>"
        f"{number(page_parts.shown(trust[name]))}{number(page_parts.shown(floor[name]))}</tr>"
        for name, told in _FIGURES.items()
        if name in trust
    ]
    body = table(["figure", "these", "by chance"], rows, "Faithfulness", numbers=(1, 2)) if rows else ""
    error = found["additivity_error"]
    return (
        f"{body}<p class=muted>Faithfulness on {trust.get('rows', 0)} rows. Base and values together are"
        f" {error['mean']:.2g} off the model's output on average, at most {error['largest']:.2g}.</p>"
    )


def _words(words: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = []
    for label, found in words.items():
        rows = [
            f"<tr><th scope=row>{named(one['word'])}</th>{number(_signed(one['mean']))}{number(str(one['count']))}</tr>"
            for one in found
        ]
        parts.append(table([f"adds to {label}", "on average", "times"], rows, f"Words for {label}", numbers=(1, 2)))
    return "".join(parts)


def _contrast(found: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><th scope=row>{named(one['word'])}</th>{number(_signed(one['difference']))}</tr>"
        for one in (*found["gained"], *found["lost"])
    ]
    body = table(["word", "adds more by"], rows, "Words that gained or lost", numbers=(1,)) if rows else ""
    if found["correlation"] is None:
        return "<p>The two models part no text into the same words: nothing can be compared.</p>"
    return (
        f"<p>The values of the words rank alike by {found['correlation']:.2f} (Spearman, mean over"
        f" {found['rows']} rows).</p>{body}"
    )


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _row(one: Explanation) -> str:
    said = f", the data says {named(one.label)}" if one.label is not None else ""
    return (
        f"<details open><summary>{named(one.target)} {one.output:.3f}{said} <code>{safe(one.id)}</code></summary>"
        f"<p>{coloured(one)}</p></details>"
    )


def coloured(one: Explanation) -> str:
    """Give the text with its tokens coloured: red for what adds to the output, blue for what takes from it."""
    most = max(1e-12, float(abs(one.values).max(initial=0.0)))
    parts = []
    for token, value in zip(one.tokens, one.values.tolist(), strict=True):
        if not token:
            continue
        colour = "216,27,96" if value > 0 else "30,111,184"
        strength = min(1.0, abs(value) / most)
        parts.append(
            f'<span style="background:rgba({colour},{0.75 * strength:.2f})" title="{value:+.4f}">{safe(token)}</span>'
        )
    return "".join(parts)
