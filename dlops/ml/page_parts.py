"""Parts that pages of reports share: tiles of figures, requirements, pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlops.data.page import number, safe, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = {True: ("ok", "✓ holds"), False: ("failed", "✕ does not hold")}


def tiles(facts: Mapping[str, str]) -> str:
    """Show a few facts large, side by side."""
    told = "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>" for name, value in facts.items())
    return f"<dl class=tiles>{told}</dl>"


def requirements(answers: Sequence[Mapping[str, Any]]) -> str:
    """List what was required, what was found, and whether it holds."""
    rows = []
    for answer in answers:
        kind, told = _MARKS[answer["holds"]]
        status = f"<td><span class='status {kind}'>{told}</span></td>"
        name = f"<th scope=row>{safe(answer['requirement'])}</th>"
        rows.append(f"<tr>{name}{number(shown(answer['found']))}{status}</tr>")
    return table(["requirement", "found", ""], rows, "Requirements", numbers=(1,))


def pictures(figures: Mapping[str, Figure]) -> str:
    """Show figures under their names, as pictures that the page holds itself."""
    return f"<div class=pictures>{''.join(_picture(name, figure) for name, figure in figures.items())}</div>"


def _picture(name: str, figure: Figure) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    told = safe(name.removesuffix(".png").replace("_", " "))
    data = base64.b64encode(drawn.getvalue()).decode()
    image = f'<img alt="{told}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{told}</figcaption></figure>"


def shown(value: Any) -> str:
    """Give a table's figure with four digits; nothing where there is none."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else safe(value)
