"""An evaluation as one HTML page that needs nothing else: verdict, figures, pictures, slices, lists of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlops.data.page import named, number, page, safe, section, table
from dlops.ml import baselines, page_parts, report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def html(found: Mapping[str, Any], pictures: Mapping[str, Figure]) -> str:
    """Lay out what `judgement.document` collected; `pictures` are shown under their names."""
    parts = [
        _header(found),
        section("Requirements", page_parts.requirements(found["requirements"])) if found["requirements"] else "",
        section("Figures", _figures(found)),
        section(f"Against {found['against']}", _comparison(found["comparison"])) if found["comparison"] else "",
        section("Classes", _classes(found["classes"])) if found["classes"] else "",
        section("Pictures", page_parts.pictures(pictures)),
        section("Slices", _slices(found)) if found["slices"] else "",
        section("Hardest rows", _rows(found["hardest"], "Wrong answers, the worst first")) if found["hardest"] else "",
        section("Likely label errors", _rows(found["label_errors"], "Rows whose label is likely wrong"))
        if found["label_errors"]
        else "",
    ]
    return page(f"Evaluation of {found['model']}", "".join(parts))


def _header(found: Mapping[str, Any]) -> str:
    data = found["dataset"]
    tiles = {
        report.named(found["headline"]): f"{found['figures'][found['headline']]:.3f}",
        "rows": f"{found['rows']:,}",
        "split": found["split"],
        **({"95th percentile": f"{found['latency']['p95_ms']:.0f} ms"} if found["latency"] else {}),
    }
    warnings = "".join(f"<p class=refused>{safe(text)}</p>" for text in found["warnings"])
    return (
        f"<header><h1>Evaluation of {named(found['model'])}</h1>{warnings}<p>{safe(found['verdict_told'])}</p>"
        f"<p>{named(found['model_uri'])} on {named(data['reference'])}, digest {safe(data['digest'])}</p></header>"
        f"{page_parts.tiles(tiles)}"
    )


def _figures(found: Mapping[str, Any]) -> str:
    rivals = found["baselines"]
    rows = []
    for name, value in found["figures"].items():
        low, high = found["intervals"].get(name, (None, None))
        ends = "" if low is None else f"{low:.3f} to {high:.3f}"
        cells = [
            number(f"{value:.3f}"),
            number(ends),
            *(number(page_parts.shown(rival.get(name))) for rival in rivals.values()),
        ]
        rows.append(f"<tr><th scope=row>{safe(report.named(name))}</th>{''.join(cells)}</tr>")
    head = ["figure", "this model", "95 % interval", *(baselines.TITLES[name] for name in rivals)]
    return table(head, rows, "Figures beside the baselines'", numbers=range(1, len(head)))


def _comparison(compared: Mapping[str, Any]) -> str:
    name = report.named(compared["name"])
    told = {
        f"{name} of this model": f"{compared['value']:.4f}",
        f"{name} of the other": f"{compared['other']:.4f}",
        "difference": f"{compared['difference']:+.4f}",
        "95 % interval of the difference": f"{compared['low']:+.4f} to {compared['high']:+.4f}",
        "verdict": compared["verdict"].replace("_", " "),
        "rows": f"{compared['rows']:,}",
        "rows that would tell it": f"{compared['needed']:,}" if compared["needed"] else "none: there is no difference",
    }
    if compared["right_alone"]:
        mine, theirs = compared["right_alone"]
        told["right alone"] = f"this model {mine:,} rows, the other {theirs:,}"
        told["McNemar's p"] = f"{compared['mcnemar']:.4g}"
    rows = [f"<tr><th scope=row>{safe(key)}</th>{number(safe(value))}</tr>" for key, value in told.items()]
    return table(["", ""], rows, "Comparison on the same rows", numbers=(1,))


def _classes(classes: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        f"<tr><th scope=row>{named(label)}</th>"
        + "".join(number(f"{scores[name]:.3f}") for name in ("precision", "recall", "f1"))
        + number(f"{scores['rows']:,}")
        + "</tr>"
        for label, scores in classes.items()
    ]
    return table(["label", "precision", "recall", "F1", "rows"], rows, "Figures by class", numbers=(1, 2, 3, 4))


def _slices(found: Mapping[str, Any]) -> str:
    headline = found["headline"]
    worst = found["worst_slice"]
    rows = []
    for part in found["slices"]:
        low, high = part["interval"]
        count, value = f"{part['rows']:,}", f"{part['figures'][headline]:.3f}"
        mark = " <span class='status failed'>worst</span>" if part["name"] == worst else ""
        few = " <span class='status skipped'>few rows</span>" if part["few"] else ""
        rows.append(
            f"<tr><th scope=row>{named(part['name'])}{mark}{few}</th>{number(count)}"
            f"{number(value)}{number(f'{low:.3f} to {high:.3f}')}</tr>"
        )
    gaps = [f"{report.named(name)} {gap:.3f}" for name, gap in found["gaps"].items()]
    told = f"<p class=muted>Greatest gaps between parts: {safe(', '.join(gaps))}</p>" if gaps else ""
    head = ["part", "rows", report.named(headline), "95 % interval"]
    return told + table(head, rows, "Parts of the rows", numbers=(1, 2, 3))


def _rows(listed: Sequence[Mapping[str, Any]], caption: str) -> str:
    texts = any(row["text"] for row in listed)
    rows = [
        f"<tr><td>{named(_label(row['label']))}</td><td>{named(_label(row['answer']))}</td>"
        f"{number(page_parts.shown(row['score']))}<td class=told>{named(row['text']) if texts else ''}"
        f" <code>{safe(row['id'])}</code></td></tr>"
        for row in listed
    ]
    return table(["label", "answer", "score", "text" if texts else "row"], rows, caption, numbers=(2,))


def _label(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
