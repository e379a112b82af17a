"""`dlops data`: tables as a list, one of them, two compared, versions removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from dlops.config import locations
from dlops.data import splits, tables

CHECKS = [
    {"name": "label_balance", "status": "warning", "figure": 0.25, "threshold": 0.3},
    {"name": "leakage", "status": "ok", "figure": 0, "threshold": 0},
]
ABOUT = {"source": "/raw/reviews.csv", "synthetic": False, "cleaning": {"html": True}, "checks": CHECKS}


def rows(labels, *, count=8):
    texts = [f"text {n}" for n in range(count)]
    return {
        "id": [splits.identity(text) for text in texts],
        "text": texts,
        "label": [labels[n % len(labels)] for n in range(count)],
        "split": ["train"] * (count - 2) + ["val", "test"],
    }


@pytest.fixture
def reviews():
    """A table called `reviews` of three versions, in the user's data folder."""
    uri = str(locations.table("reviews"))
    tables.write(uri, rows("xyyy"), ABOUT)
    changed = rows("xyyy")
    changed["label"][1] = "x"
    changed["split"][5] = "test"
    tables.write(uri, changed, {**ABOUT, "checks": CHECKS[1:]})
    tables.write(uri, rows("xyz", count=9), {"source": "sample", "synthetic": True})
    return uri


def as_json(typed, *words, exit_code=0):
    return json.loads(typed("data", *words, "--json", exit_code=exit_code)[0])


def test_tables_are_listed(typed, reviews, tmp_path):
    broken = locations.table("broken")
    (broken / "_delta_log").mkdir(parents=True)
    (broken.parent / "notes").mkdir()
    theirs = tmp_path / "elsewhere" / "theirs"
    deltalake.write_deltalake(theirs, pa.table({"text": ["a"]}))

    listed = as_json(typed, "list")
    assert [table["name"] for table in listed] == ["broken", "reviews"]
    assert "There is no dataset" in listed[0]["error"]
    about = listed[1]
    assert (about["version"], about["versions"], about["rows"], about["error"]) == (2, 3, 9, "")
    assert (about["table"], about["source"], about["synthetic"]) == (reviews, "sample", True)
    assert about["bytes"] == sum(file.stat().st_size for file in Path(reviews).rglob("*") if file.is_file())
    lines = typed("data", "list")[0].splitlines()
    assert lines[0].split() == ["table", "versions", "rows", "last", "written", "size", "source"]
    assert lines[2].split()[:3] == ["reviews", "3", "9"]
    assert lines[2].endswith("sample (synthetic)")
    assert [table["name"] for table in as_json(typed, "list", theirs.parent)] == ["theirs"]


def test_where_there_is_no_table_it_says_so(typed, tmp_path):
    out, err = typed("data", "list")
    assert (out, "`dlops ingest` makes one" in err) == ("", True)
    assert as_json(typed, "list") == []
    assert "no folder" in typed("data", "list", tmp_path / "none", exit_code=2)[1]


def test_a_dataset_is_shown(typed, reviews):
    shown = as_json(typed, "show", "reviews@0")
    assert (shown["table"], shown["version"], shown["rows"]) == (reviews, 0, 8)
    assert shown["columns"] == dict.fromkeys(tables.COLUMNS, "string")
    assert shown["rows_by_split"] == {"train": 6, "val": 1, "test": 1}
    assert shown["label_shares"]["y"] == {"train": 4 / 6, "val": 1.0, "test": 1.0}
    assert shown["description"]["checks"] == CHECKS
    versions = [(version["version"], version["rows"], version["removed"]) for version in shown["versions"]]
    assert versions == [(2, 9, False), (1, 8, False), (0, 8, False)]

    text = typed("data", "show", "reviews@0")[0]
    lines = [line.split() for line in text.splitlines()]
    assert ["dataset", f"{reviews}@0"] in lines
    assert ["label", "train", "val", "test"] in lines
    assert ["y", "66.7", "%", "100.0", "%", "100.0", "%"] in lines
    assert ["label_balance", "warning", "0.25", "0.3"] in lines
    assert ["cleaning", "html", "True"] in lines
    assert sum("/raw/reviews.csv" in line for line in text.splitlines()) == 3
    assert "(synthetic)" in typed("data", "show", "reviews")[0]


def test_a_table_of_another_making_is_shown(typed, tmp_path):
    theirs = tmp_path / "theirs"
    deltalake.write_deltalake(theirs, pa.table({"label": [[1.5], [2.5]], "n": [1, 2]}))
    shown = as_json(typed, "show", theirs)
    assert shown["columns"] == {"label": "list of double", "n": "long"}
    assert (shown["rows_by_split"], shown["description"]) == ({"all": 2}, {})
    assert "not written by dlops" in typed("data", "show", theirs)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "reveiws"), "did you mean 'reviews'"),
        (("diff", "reviews", "reveiws"), "did you mean 'reviews'"),
        (("vacuum", "reveiws"), "did you mean 'reviews'"),
        (("vacuum", "reviews@0"), "whole table"),
        (("show", "runs:/abc/dataset"), "names a run"),
        (("lst",), "did you mean 'list'"),
        ((), "Missing command"),
        (("vacuum", "reviews", "--keep-versions", "0"), "--keep-versions"),
    ],
)
def test_mistakes_are_told(words, said, typed, reviews):
    out, err = typed("data", *words, exit_code=2)
    assert (out, said in err) == ("", True), err


def test_no_such_version(typed, reviews):
    assert "has no version 9" in typed("data", "show", "reviews@9", exit_code=4)[1]


def test_two_versions_are_compared(typed, reviews):
    found = as_json(typed, "diff", "reviews@0", "reviews@1", "--examples", "2")
    counts = {kind: found[kind] for kind in ("added", "removed", "relabelled", "moved", "changed")}
    assert counts == {"added": 0, "removed": 0, "relabelled": 1, "moved": 1, "changed": 0}
    assert not found["same"]
    assert found["examples"]["relabelled"] == [
        {
            "id": splits.identity("text 1"),
            "before": {"label": "y", "split": "train"},
            "after": {"label": "x", "split": "train"},
        }
    ]
    assert (found["checks"][0]["a"], found["checks"][0]["b"]) == (CHECKS[0], None)

    out = typed("data", "diff", "reviews@0", "reviews@1", "--texts")[0]
    lines = [line.split() for line in out.splitlines()]
    assert ["relabelled", "1"] in lines
    assert ["label", *(word for name in splits.NAMES for mark in "AB" for word in (name, mark))] in lines
    assert ["moved", splits.identity("text 5"), "y", "train", "y", "test", "text", "5"] in lines
    assert "text 5" not in typed("data", "diff", "reviews@0", "reviews@1", "--examples", "9")[0]
    assert as_json(typed, "diff", "reviews@1", reviews + "@1")["same"]


def referring(database, *references):
    """Note runs that refer to those datasets; gives their ids."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow warns of as it is imported and opens a database
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{database}")
        experiment = client.create_experiment("e")
        runs = [client.create_run(experiment).info.run_id for _ in references]
        for run_id, reference in zip(runs, references, strict=True):
            client.log_param(run_id, "dataset", reference)
            client.set_terminated(run_id)
    return runs


@pytest.fixture
def store(shell, initialised_store):
    """The database of the shell's folder."""
    shutil.copy(initialised_store, shell.database)
    return shell.database


def test_versions_are_removed_but_not_those_of_runs(shell, reviews, store):
    (run_id,) = referring(store, f"{reviews}@0")
    keep = ("data", "vacuum", "reviews", "--keep-versions", "1")
    told = shell.run(*keep)
    assert ["versions", "to", "remove", "1"] in [line.split() for line in told.stdout.splitlines()]
    assert f"for run {run_id}" in told.stdout
    assert "Nothing was removed; --yes" in told.stderr
    planned = shell.json(*keep, "--dry-run", "--yes")
    assert (planned["kept"], planned["removed"], planned["kept_for_runs"]) == ([2, 0], [1], {"0": [run_id]})
    assert not planned["done"]
    assert not shell.json(*keep)["done"]
    assert tables.read(reviews, 1)[0].count() == 8

    assert shell.json(*keep, "--yes")["done"]
    assert "were removed" in shell.run("data", "show", "reviews@1", exit_code=4).stderr
    assert "removed" in shell.run("data", "show", "reviews").stdout
    assert tables.read(reviews, 0)[0].count() == 8

    assert "Removed." in shell.run(*keep, "--yes", "--force").stderr
    assert not tables.is_there(reviews, 0)
    assert tables.read(reviews)[0].count() == 9
    assert shell.json(*keep, "--yes", "--force")["files"] == []


def test_every_store_that_is_named_is_asked(shell, reviews, store, initialised_store):
    (shell.folder / "other").mkdir()
    shutil.copy(initialised_store, shell.folder / "other/other.db")
    referring(store, f"{reviews}@0")
    referring(shell.folder / "other/other.db", f"file://{reviews}@1")
    stores = ["--tracking-uri", "sqlite:///other/other.db", "--tracking-uri", "sqlite:///mlflow.db"]
    planned = shell.json("data", "vacuum", "reviews", "--keep-versions", "1", *stores)
    assert (planned["removed"], sorted(planned["kept_for_runs"])) == ([], ["0", "1"])


def test_without_a_store_nothing_is_removed_unless_forced(typed, reviews):
    err = typed("data", "vacuum", "reviews", "--keep-versions", "1", "--yes", exit_code=2)[1]
    assert "cannot be told" in err
    assert "--force" in err
    assert tables.is_there(reviews, 0)
    typed("data", "vacuum", "reviews", "--yes")  # leftovers are no version
    typed("data", "vacuum", "reviews", "--keep-versions", "1", "--yes", "--force")
    assert not tables.is_there(reviews, 0)


@pytest.mark.parametrize(("answer", "gone"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_asks(answer, gone, reviews, shell):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "dlops.cli.main", "data", "vacuum", "reviews", "--keep-versions", "1", "--force"]
    environ = {**shell.environ, "TERM": "dumb"}
    process = subprocess.Popen(command, cwd=shell.folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.write(ours, f"{answer}\n".encode())
    process.wait(60)
    shown = os.read(ours, 10_000).decode()
    os.close(theirs)
    os.close(ours)
    assert "Remove it? [y/N]" in shown
    assert tables.is_there(reviews, 0) is not gone


def test_help_tells_of_each_and_loads_nothing_heavy(shell):
    program = (
        "import sys; sys.argv = ['dlops', 'data', *sys.argv[1:]]\n"
        "import dlops.cli.main as command\n"
        "try: command.main()\n"
        "finally: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    for words in ((), ("vacuum",)):
        done = subprocess.run(
            [sys.executable, "-c", program, *words, "--help"], env=shell.environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert ("diff" if not words else "--keep-versions") in done.stdout
        assert not {"deltalake", "pyarrow", "mlflow", "numpy"} & set(done.stderr.split())


def test_datasets_of_texts_alone_are_shown_and_compared(typed):
    uri = str(locations.table("texts"))
    about = {"labels": "none", "source": "notes.txt"}
    for split in ("val", "test"):
        written = rows("x")
        del written["label"]
        written["split"][0] = split
        tables.write(uri, written, about)
    shown = as_json(typed, "show", "texts")
    assert (shown["columns"], shown["description"]["labels"]) == (
        dict.fromkeys(("id", "text", "split"), "string"),
        "none",
    )
    assert "label_shares" not in shown
    text = typed("data", "show", "texts")[0]
    assert ["train", "val", "test"] in [line.split() for line in text.splitlines()]
    assert ["rows", "5", "1", "2"] in [line.split() for line in text.splitlines()]
    assert "label" not in text
    text = typed("data", "diff", "texts@0", "texts@1", "--examples", "1")[0]
    assert "None" not in text
    assert any(line.split()[:1] == ["moved"] and line.split()[2:] == ["val", "test"] for line in text.splitlines())
