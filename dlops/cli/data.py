"""`dlops data`: the datasets there are, what is in them, how two differ, and removing what nobody needs."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from dlops.cli import console
from dlops.cli.command import Command
from dlops.cli.options import AsJson
from dlops.config import locations, paths
from dlops.config.parameters import suggestion
from dlops.config.terminal import visible
from dlops.errors import UsageError
from dlops.project import plan

if TYPE_CHECKING:
    from dlops.data.difference import Difference
    from dlops.data.shares import Shares
    from dlops.data.tables import Commit
    from dlops.data.vacuum import Plan

_LABELS = 20
"""Labels that are printed; `--json` has them all."""


class Commands(TyperGroup):
    """The subcommands; a misspelt one is told with the one that may have been meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the subcommand that is called.

        Raises:
            UsageError: there is none of that name.
        """
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = suggestion(args[0], known) or "."
            raise UsageError(f"There is no command 'data {args[0]}'{near}", hint="`dlops data --help` lists them.")
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Give the options, of which `--help` is the only one."""
        known = super().get_params(ctx)
        for parameter in known:
            parameter.metavar = ""
        return known

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        with console.unpadded():
            super().format_help(ctx, formatter)


app = typer.Typer(
    name="data",
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def data() -> None:
    """List datasets, show or compare them, and remove versions that nobody needs."""


def _tables(incomplete: str) -> list[str]:
    folder = locations.table("x").parent
    return [file.name for file in _in(folder) if file.name.startswith(incomplete)]


def _dataset(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text, autocompletion=_tables, show_default=False)


Folder = Annotated[
    str, typer.Argument(metavar="FOLDER", help="A folder of tables.", show_default="the user's data folder")
]
OneDataset = Annotated[str, _dataset("TABLE[@VERSION]", "A table's name, path or URI, and one of its versions.")]
DatasetA = Annotated[str, _dataset("A", "A dataset: TABLE or TABLE@VERSION.")]
DatasetB = Annotated[str, _dataset("B", "The dataset it is compared with.")]
OneTable = Annotated[str, _dataset("TABLE", "A table's name, path or URI.")]
Examples = Annotated[int, typer.Option("--examples", min=0, metavar="N", help="Name N rows of each kind.")]
Texts = Annotated[bool, typer.Option("--texts", help="Print the texts of those rows, not their ids alone.")]
KeepVersions = Annotated[
    int | None,
    typer.Option("--keep-versions", min=1, metavar="N", help="Keep the last N versions.", show_default=False),
]
OlderThan = Annotated[
    float | None,
    typer.Option("--older-than", min=0, metavar="DAYS", help="Remove older versions only.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Remove versions that runs refer to, too.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
TrackingUris = Annotated[
    list[str] | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="Where runs are recorded; may be given several times.",
        show_default="MLFLOW_TRACKING_URI, else sqlite:///mlflow.db",
    ),
]


@app.command("list", cls=Command)
def list_tables(folder: Folder = "", json: AsJson = False) -> None:
    """List the tables of a folder."""
    place = paths.absolute(folder) if folder else locations.table("x").parent
    if folder and not place.is_dir():
        raise UsageError(f"There is no folder {place}.")
    found = [_summary(table) for table in _in(place)]
    if json:
        console.print_json(found)
    elif found:
        console.out().print(_listed(found))
    else:
        console.err().print(f"There is no table in {place}; `dlops ingest` makes one.")


@app.command("show", cls=Command)
def show(table: OneDataset, json: AsJson = False) -> None:
    """Tell what is in a dataset: rows, labels, checks, where it came from, its versions."""
    from dlops.data import shares, tables

    uri, version = _located(table)
    opened, description = tables.read(uri, version)
    counted = shares.count(opened)
    document = {
        "table": uri,
        "version": opened.version(),
        "columns": {field.name: _kind(field.type) for field in opened.schema().fields},
        **counted.as_dict(),
        "bytes": sum(tables.files(opened).values()),
        "description": description,
        "versions": [
            {**_version(commit), "removed": not tables.is_there(uri, commit.number)} for commit in tables.history(uri)
        ],
    }
    console.print_json(document) if json else console.out().print(_shown(document, counted))


@app.command("diff", cls=Command)
def diff(a: DatasetA, b: DatasetB, examples: Examples = 0, texts: Texts = False, json: AsJson = False) -> None:
    """Say how dataset B differs from dataset A: rows, labels, splits, checks."""
    from dlops.data import difference

    if texts and not examples:
        examples = 5
    found = difference.between(_located(a), _located(b), examples=examples, texts=texts)
    console.print_json(found.as_dict()) if json else console.out().print(_different(found))


@app.command("vacuum", cls=Command)
def vacuum(
    table: OneTable,
    keep_versions: KeepVersions = None,
    older_than: OlderThan = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    tracking_uri: TrackingUris = None,
    json: AsJson = False,
) -> None:
    """Remove versions of a table, but the last and those runs refer to, and what killed writers left.

    With both --keep-versions and --older-than, only what both allow is removed; with neither, leftovers alone.
    """
    from dlops.data import vacuum

    uri, version = _located(table)
    if version is not None:
        raise UsageError("A vacuum is of a whole table.", hint="Leave out the version; see --keep-versions.")
    chooses = keep_versions is not None or older_than is not None
    needed = _needed(uri, tracking_uri or [""]) if chooses and not force else {}
    planned = vacuum.plan(uri, keep_versions=keep_versions, older_than=older_than, needed=needed)
    if not json:
        console.out().print(_planned(planned))
    agreed = bool(planned.files) and not dry_run and (yes or (not json and _agreed()))
    if agreed:
        vacuum.carry_out(planned)
    if json:
        console.print_json({**planned.as_dict(), "done": agreed})
    elif agreed:
        console.err().print("Removed.")
    elif planned.files and not dry_run:
        console.err().print("Nothing was removed; --yes removes it.")


def _agreed() -> bool:
    """Ask on a terminal; elsewhere nobody would answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return typer.confirm("Remove it?", err=True)


def _needed(uri: str, tracking_uris: Sequence[str]) -> dict[int, list[str]]:
    """Find the versions of a table that runs refer to, with the ids of those runs."""
    from dlops.data import vacuum
    from dlops.project import references

    found: dict[int, list[str]] = defaultdict(list)
    stores = [plan.tracking_uri(stated) for stated in tracking_uris]  # all at once: MLflow moves the working folder
    try:
        for store in stores:
            for reference in references.of_runs(store):
                if _same(reference.uri, uri):
                    number = vacuum.resolved(uri, reference.version)
                    if number is not None and reference.run_id not in found[number]:
                        found[number].append(reference.run_id)
    except UsageError as error:
        hint = "Name the store with --tracking-uri, or let --force remove what runs may refer to."
        raise UsageError(f"Which versions runs refer to cannot be told. {error.message}", hint=hint) from error
    return {number: runs for number, runs in found.items() if runs}


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(uri: str) -> str:
    text = uri.removeprefix("file://").rstrip("/")
    return text if "://" in text else str(Path(text).resolve())


def _located(reference: str) -> tuple[str, int | str | None]:
    """Give a dataset's place and version.

    Raises:
        UsageError: there is no such table on this machine.
    """
    if reference.startswith("runs:"):
        raise UsageError(
            f"{reference} names a run.", hint="`dlops status RUN` tells the dataset it made: TABLE@VERSION."
        )
    name, version = locations.versioned(reference)
    if "://" in name and not name.startswith("file://"):
        return name, version
    folder = locations.place(name.removeprefix("file://"))
    if not paths.exists(folder):
        near = suggestion(folder.name, [found.name for found in _in(folder.parent)]) or "."
        raise UsageError(f"There is no table {folder}{near}", hint="`dlops data list` lists those of your data folder.")
    return str(folder), version


def _in(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if (entry / "_delta_log").is_dir())
    except OSError:
        return []


def _summary(folder: Path) -> dict[str, Any]:
    """Tell about a table in a line; one that cannot be read says so."""
    from dlops.data import tables
    from dlops.errors import DataError

    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    told = {"name": folder.name, "table": str(folder), "version": None, "versions": 0, "rows": None, "written": ""}
    told |= {"bytes": size, "source": "", "synthetic": False, "error": ""}
    try:
        opened, description = tables.read(str(folder))
        commits = tables.history(str(folder))
    except DataError as error:
        return {**told, "error": error.message}
    return {
        **told,
        "version": opened.version(),
        "versions": len(commits),
        "rows": opened.count(),
        "written": _time(commits[0].time) if commits else "",
        "source": str(description.get("source", "")),
        "synthetic": bool(description.get("synthetic", False)),
    }


def _version(commit: Commit) -> dict[str, Any]:
    return {
        "version": commit.number,
        "written": _time(commit.time),
        "rows": commit.rows,
        "digest": commit.digest,
        "source": str(commit.description.get("source", "")),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(timespec="seconds") if seconds else ""


def _kind(kind: Any) -> str:
    """Write a column's type: `string`, `list of string`."""
    inner = getattr(kind, "element_type", None)
    return f"list of {_kind(inner)}" if inner is not None else str(getattr(kind, "type", kind))


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _grid(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> Table:
    """Lay out texts in columns; those whose places are in `right` are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell, lines=True)) for cell in row))
    return table


def _listed(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            table["name"],
            str(table["versions"]),
            "" if table["rows"] is None else str(table["rows"]),
            table["written"][:16].replace("T", " "),
            _size(table["bytes"]),
            table["error"] or f"{table['source']}{' (synthetic)' if table['synthetic'] else ''}",
        ]
        for table in found
    ]
    return _grid(("table", "versions", "rows", "last written", "size", "source"), rows, right=(1, 2, 4))


def _shown(document: Mapping[str, Any], counted: Shares) -> Group:
    about = document["description"]
    rows: list[tuple[str, RenderableType]] = [
        ("dataset", Text(f"{document['table']}@{document['version']}", "bold")),
        ("digest", about.get("digest", "none: not written by dlops")),
        ("source", f"{about.get('source', '')}{' (synthetic)' if about.get('synthetic') else ''}"),
        ("columns", ", ".join(f"{name} ({kind})" for name, kind in document["columns"].items())),
        ("size", _size(document["bytes"])),
        ("rows", str(document["rows"])),
    ]
    if about.get("cleaning"):
        rows.append(("cleaning", console.pairs({name: str(value) for name, value in dict(about["cleaning"]).items()})))
    parts: list[RenderableType] = [console.facts(rows), "", _spread([("", counted)])]
    if checks := about.get("checks"):
        parts += ["", _grid(("check", "status", "figure", "threshold"), [_check(check) for check in checks])]
    versions = [
        [
            str(version["version"]),
            version["written"][:16].replace("T", " "),
            "" if version["rows"] is None else str(version["rows"]),
            version["digest"][:8],
            "removed" if version["removed"] else version["source"],
        ]
        for version in document["versions"]
    ]
    return Group(*parts, "", _grid(("version", "written", "rows", "digest", "source"), versions, right=(2,)))


def _check(check: Mapping[str, Any]) -> list[str]:
    return [str(check.get("name", "")), str(check.get("status", "")), *map(_figure, _figures(check))]


def _figures(check: Mapping[str, Any]) -> tuple[Any, Any]:
    return check.get("figure"), check.get("threshold")


def _figure(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return console.number(value)
    return "" if value is None else str(value)


def _spread(sides: Sequence[tuple[str, Shares]]) -> Table:
    """Lay out rows and label shares by split, those of several datasets side by side."""
    splits = list(dict.fromkeys(name for _, shares in sides for name in shares.splits()))
    columns = [(split, mark, shares) for split in splits for mark, shares in sides]
    rows = [["rows", *(str(shares.rows.get(split, 0)) for split, _, shares in columns)]]
    labels = _by_size([shares for _, shares in sides])
    rows += [[label, *(_percent(shares, label, split) for split, _, shares in columns)] for label in labels[:_LABELS]]
    if len(labels) > _LABELS:
        rows.append([f"… {len(labels) - _LABELS} more labels", *("" for _ in columns)])
    if any(shares.numbers for _, shares in sides):
        rows += [[name, *(_number(shares, split, name) for split, _, shares in columns)] for name in _NUMBERS]
    labelled = any(shares.labelled for _, shares in sides)
    headings = ["label" if labelled else "", *(f"{split} {mark}".strip() for split, mark, _ in columns)]
    return _grid(headings, rows, right=range(1, len(headings)))


_NUMBERS = ("minimum", "mean", "maximum")


def _by_size(sides: Sequence[Shares]) -> list[str]:
    sizes: dict[str, int] = defaultdict(int)
    for shares in sides:
        for label, counts in shares.labels.items():
            sizes[label] += sum(counts.values())
    return sorted(sizes, key=lambda label: (-sizes[label], label))


def _percent(shares: Shares, label: str, split: str) -> str:
    return f"{100 * shares.share(label, split):.1f} %" if shares.rows.get(split) else ""


def _number(shares: Shares, split: str, name: str) -> str:
    numbers = shares.numbers[split].as_dict() if split in shares.numbers else {}
    return console.number(numbers[name]) if name in numbers else ""


def _different(found: Difference) -> Group:
    facts: list[tuple[str, RenderableType]] = [
        ("A", Text(found.a.reference, "bold")),
        ("B", Text(found.b.reference, "bold")),
    ]
    facts += [(kind, str(count)) for kind, count in found.counts.items()]
    for name, own, other in (("columns gone", found.a, found.b), ("new columns", found.b, found.a)):
        if names := [column for column in own.columns if column not in other.columns]:
            facts.append((name, ", ".join(names)))
    parts: list[RenderableType] = [console.facts(facts), "", _spread([("A", found.a.shares), ("B", found.b.shares)])]
    if checks := found.checks():
        parts += ["", _grid(("check", "A", "", "B", ""), [_two_checks(check) for check in checks])]
    if examples := list(_example_rows(found)):
        parts += ["", _grid(("what", "row", "A", "B", "text"), examples)]
    return Group(*parts)


def _two_checks(check: Mapping[str, Any]) -> list[str]:
    sides = [check["a"] or {}, check["b"] or {}]
    return [
        check["name"],
        *(cell for side in sides for cell in (str(side.get("status", "")), _figure(side.get("figure")))),
    ]


def _example_rows(found: Difference) -> Iterator[list[str]]:
    for kind, examples in found.examples.items():
        for example in examples:
            sides = [_values(side) for side in _sides(example)]
            yield [kind, example.id, *sides, example.text or ""]


def _values(side: Mapping[str, str | None] | None) -> str:
    return " ".join(value for value in side.values() if value is not None) if side else ""


def _sides(example: Any) -> tuple[Any, Any]:
    return example.before, example.after


def _planned(planned: Plan) -> Group:
    numbers = ", ".join(map(str, planned.removed))
    rows: list[tuple[str, RenderableType]] = [
        ("table", planned.uri),
        ("versions that stay", ", ".join(map(str, planned.kept))),
        ("versions to remove", numbers or "none"),
        ("files to remove", f"{len(planned.files)} ({_size(planned.size)})"),
    ]
    if planned.leftovers:
        rows.append(("leftovers", f"{planned.leftovers} of them belong to no version"))
    for number, runs in planned.needed.items():
        rows.append((f"version {number} stays", f"for run {', '.join(runs)}"))
    return Group(console.facts(rows))
