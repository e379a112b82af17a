"""One HTML page that needs nothing else: its tables, its style in light and in dark, and what others wrote as text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

COLOURS = 8
"""Classes that have a colour of their own; the rest share one."""


def page(title: str, body: str) -> str:
    """Give the page: no script, no request, whatever `body` holds."""
    # In one go: a title that reads {body} stays what it is.
    filled = {"title": safe(title), "style": _STYLE, "body": body}
    return re.sub(r"\{(title|style|body)\}", lambda place: filled[place[1]], _PAGE)


def section(title: str, body: str) -> str:
    """Give a part of the page; `body` is HTML."""
    return f"<section><h2>{safe(title)}</h2>{body}</section>"


def table(head: Sequence[str], rows: Sequence[str], caption: str, *, numbers: Sequence[int] = ()) -> str:
    """Give a table that scrolls where it is too wide; `numbers` are the places of columns that hold some."""
    cells = "".join(
        f"<th scope=col{' class=number' if place in numbers else ''}>{safe(name)}</th>"
        for place, name in enumerate(head)
    )
    return (
        f'<div class=scroll role=region aria-label="{safe(caption)}" tabindex=0><table>'
        f"<caption>{safe(caption)}</caption><thead><tr>{cells}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def number(shown: str) -> str:
    """Give a table's cell that holds a figure."""
    return f"<td class=number>{shown}</td>"


def safe(value: object) -> str:
    """Make of any value a text that is no markup, and has no control characters, nor any that turn its direction."""
    shown = "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in str(value))
    return html.escape(shown, quote=True)


def named(value: str) -> str:
    """Show what someone else wrote: its direction of writing must not turn what stands beside it."""
    return f"<bdi>{safe(value) or '(empty)'}</bdi>"


_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --paper: #ffffff; --ink: #1b2430; --muted: #5c6875; --line: #dfe4ea;
  --ok: #17693a; --ok-back: #e0f3e7; --warning: #7a4b00; --warning-back: #fdefd0; --failed: #a01b1b;
  --failed-back: #fbe1e1; --skipped: #5c6875; --skipped-back: #eceff3; --bar: #2a6fbd; --c0: #2a6fbd; --c1: #bb5216;
  --c2: #0f7a57; --c3: #866600; --c4: #b23a79; --c5: #3b780f; --c6: #5a49b8; --c7: #b83232; --cx: #687381;
  --inside: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --paper: #1a2028; --ink: #e6eaf0; --muted: #9aa6b4;
  --line: #313a46; --ok: #8fdcae; --ok-back: #17382a; --warning: #f5c76a; --warning-back: #40300f; --failed: #ff9c9c;
  --failed-back: #4a1d1d; --skipped: #a3aebb; --skipped-back: #2a323d; --bar: #64a5ec; --c0: #64a5ec; --c1: #ee9259;
  --c2: #4cc69a; --c3: #d6b13d; --c4: #ea86b6; --c5: #93c763; --c6: #a698f2; --c7: #f08383; --cx: #8d99a8;
  --inside: #10151b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
header p { margin: 0; color: var(--muted); }
h1 { margin: 0 0 1rem; font-size: 1.8rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 0 0 .75rem; font-size: 1.15rem; overflow-wrap: anywhere; }
section, .tiles div { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 1.1rem 1.25rem 1.25rem; margin-top: 1rem; }
header .refused { color: var(--failed); background: var(--failed-back); border-radius: 10px; padding: .7rem 1rem;
  margin: 0 0 1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 0; }
.tiles div { padding: .7rem 1rem; }
.tiles dt { color: var(--muted); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: .45rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--muted); font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 6rem; overflow-wrap: anywhere; }
td { overflow-wrap: anywhere; }
.name { white-space: nowrap; }
.told { min-width: 16rem; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.muted { color: var(--muted); }
.status { display: inline-block; white-space: nowrap; padding: 0 .55rem; border-radius: 1rem; font-size: .85rem;
  font-weight: 600; }
.ok { color: var(--ok); background: var(--ok-back); }
.warning { color: var(--warning); background: var(--warning-back); }
.failed { color: var(--failed); background: var(--failed-back); }
.skipped { color: var(--skipped); background: var(--skipped-back); }
details { margin-top: .15rem; color: var(--muted); font-size: .85rem; }
summary { cursor: pointer; }
code { font: .85em ui-monospace, "DejaVu Sans Mono", monospace; margin-right: .4rem; }
figure { margin: 0 0 1rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; align-items: start; }
.pictures img { width: 100%; background: #fff; border-radius: 6px; }
figcaption { color: var(--muted); font-size: .85rem; }
svg { display: block; width: 100%; overflow: visible; font-size: 12px; }
svg.axis { width: calc(100% - 3.5rem); margin-left: 3.5rem; }
svg text { fill: var(--ink); }
svg text.muted { fill: var(--muted); }
svg text.inside { fill: var(--inside); font-weight: 600; pointer-events: none; }
.grid { stroke: var(--line); }
.bar { fill: var(--bar); }
.piece { stroke: var(--paper); stroke-width: 1.5px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin: 0 0 .6rem; padding: 0;
  font-size: .9rem; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .4rem; }
@media (max-width: 40rem) { section { padding: 1rem .8rem; } th, td { padding-inline: .4rem; }
  .name { white-space: normal; overflow-wrap: normal; } .told { min-width: 10rem; } }
""" + "\n".join(f".c{name} {{ fill: var(--c{name}); background: var(--c{name}); }}" for name in (*range(COLOURS), "x"))

# The policy forbids every request, whatever someone smuggles into a label; the icon keeps browsers from asking for one.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""
