"""A pipeline as a picture: its steps from left to right, what each needs, what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlops.data.page import named, page, safe, section, table

SVG, HTML = "pipeline.svg", "pipeline.html"
_WIDE, _TALL, _GAP_X, _GAP_Y, _EDGE = 176, 58, 56, 22, 12
_SIGNS = {
    "finished": "✓",
    "cached": "↺",
    "taken": "↺",
    "running": "▶",
    "failed": "✗",
    "refused": "⊘",
    "ended": "■",
    "skipped": "-",
    "left out": "-",
    "waiting": "…",
}
_COLOURS = {
    "finished": ("#17693a", "#7ed3a0"),
    "cached": ("#2a6fbd", "#7db4ee"),
    "taken": ("#2a6fbd", "#7db4ee"),
    "running": ("#5a49b8", "#b3a8f5"),
    "failed": ("#a01b1b", "#f08a8a"),
    "refused": ("#7a4b00", "#e8b768"),
    "ended": ("#7a4b00", "#e8b768"),
}
"""On light and on dark paper."""
_OTHER = ("#5c6875", "#9aa6b4")
_LONG = 22


def files(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Draw steps, as `progress.StepProgress.document` gives them: the text of each file, by its name."""
    return {SVG: svg(steps), HTML: html(steps)}


def svg(steps: Sequence[Mapping[str, Any]]) -> str:
    """Draw the graph, which needs no style but its own, in light and in dark."""
    places = _places(steps)
    wide = max(x for x, _ in places.values()) + _WIDE + _EDGE
    tall = max(y for _, y in places.values()) + _TALL + _EDGE
    told = "; ".join(f"{step['name']} {step['state']}" for step in steps)
    marks = [*_edges(steps, places), *(mark for step in steps for mark in _box(step, *places[step["name"]]))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}"'
        f' role="img" aria-label="{safe(told)}">\n<style>{_style()}</style>\n' + "\n".join(marks) + "\n</svg>\n"
    )


def html(steps: Sequence[Mapping[str, Any]]) -> str:
    """Give a page with the picture, and what is known of each step."""
    rows = [
        f"<tr><th scope=row>{named(step['name'])}</th><td>{safe(step['state'])}</td>"
        f"<td class=number>{_seconds(step)}</td><td>{safe(step.get('error') or step.get('why', ''))}</td>"
        f"<td>{safe(step.get('target', ''))}</td><td><code>{safe(step.get('run_id', ''))}</code></td></tr>"
        for step in steps
    ]
    head = ("step", "state", "seconds", "why", "target", "run")
    drawn = f'<figure style="overflow-x:auto">{svg(steps)}</figure>'
    body = "<header><h1>Pipeline</h1></header>" + drawn + section("Steps", table(head, rows, "Steps", numbers=(2,)))
    return page("Pipeline", body)


def _places(steps: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Put each step right of all that it needs; steps come after those that they need."""
    depth: dict[str, int] = {}
    for step in steps:
        depth[step["name"]] = 1 + max((depth[name] for name in step.get("needs", ())), default=-1)
    taken: dict[int, int] = {}
    places = {}
    for name, column in depth.items():
        row = taken.get(column, 0)
        taken[column] = row + 1
        places[name] = (_EDGE + column * (_WIDE + _GAP_X), _EDGE + row * (_TALL + _GAP_Y))
    return places


def _edges(steps: Sequence[Mapping[str, Any]], places: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    for step in steps:
        x, y = places[step["name"]]
        for name in step.get("needs", ()):
            from_x, from_y = places[name][0] + _WIDE, places[name][1] + _TALL // 2
            to_y, bend = y + _TALL // 2, _GAP_X // 2
            yield (
                f'<path class="edge" d="M {from_x} {from_y} C {from_x + bend} {from_y}, {x - bend} {to_y},'
                f' {x - 6} {to_y}" /><path class="head" d="M {x - 7} {to_y - 4} L {x} {to_y} L {x - 7} {to_y + 4} z" />'
            )


def _box(step: Mapping[str, Any], x: int, y: int) -> Iterator[str]:
    state = str(step["state"])
    kind = f"s{list(_SIGNS).index(state)}" if state in _SIGNS else "s"
    told = f"{step['name']}: {state}. {step.get('error') or step.get('why', '')}".strip()
    yield f'<g class="{kind}"><title>{safe(told)}</title>'
    yield f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_TALL}" rx="8" />'
    name = str(step["name"])
    shown = name if len(name) <= _LONG else f"{name[: _LONG - 1]}…"
    yield f'<text class="name" x="{x + 12}" y="{y + 24}">{safe(shown)}</text>'
    below = " · ".join(filter(None, [f"{_SIGNS.get(state, '')} {state}".strip(), _duration(step)]))
    yield f'<text class="state" x="{x + 12}" y="{y + 44}">{safe(below)}</text></g>'


def _duration(step: Mapping[str, Any]) -> str:
    return f"{step['seconds']:.1f} s" if step.get("seconds") and step["state"] in ("finished", "failed") else ""


def _seconds(step: Mapping[str, Any]) -> str:
    return f"{step['seconds']:.1f}" if step.get("seconds") else ""


def _style() -> str:
    light: list[str] = []
    dark: list[str] = []
    for number, state in enumerate(_SIGNS):
        for rules, colour in zip((light, dark), _COLOURS.get(state, _OTHER), strict=True):
            rules.append(f".s{number} rect {{ stroke: {colour} }} .s{number} .state {{ fill: {colour} }}")
    return (
        "svg { font: 14px system-ui, sans-serif } rect { fill: #ffffff; stroke-width: 2 }"
        " .name { font-weight: 600; fill: #1b2430 } .state { font-size: 12px }"
        " .edge { fill: none; stroke: #9aa6b4; stroke-width: 1.5 } .head { fill: #9aa6b4 } "
        + " ".join(light)
        + " @media (prefers-color-scheme: dark) { rect { fill: #1a2028 } .name { fill: #e6eaf0 } "
        + " ".join(dark)
        + " }"
    )
