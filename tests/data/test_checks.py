"""Each check finds what was planted, and nothing where nothing was."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dlops.data import checks, splits
from dlops.data.checks import NAMES, Checks
from dlops.data.conversion import Counts
from dlops.errors import UsageError

ENGLISH = "the film that we saw on {} evening was as good as its music number {} and so were the people in it"


def rows(count=300, **columns):
    """Write rows as they are staged: in the order of their ids, two classes, no trouble."""
    texts = columns.pop("text", None) or [ENGLISH.format(n % 7, f"{n * 7919} {n * n} {n + 5}") for n in range(count)]
    table = {
        "id": [splits.identity(text) for text in texts],
        "text": texts,
        "label": ["pos" if n % 2 else "neg" for n in range(len(texts))],
        "split": [splits.assign(text, (0.7, 0.1, 0.2), 0) for text in texts],
        **columns,
    }
    return pa.table(table).sort_by("id")


def found(table, counts=None, **settings):
    looked = Checks(**settings)
    half = len(table) // 2
    for part in (table.slice(0, half), table.slice(half)):
        looked.observe(part)
    counts = counts or Counts(rows_in=len(table), rows=len(table))
    return {finding.name: finding for finding in looked.findings(counts)}


def test_nothing_is_found_in_good_rows():
    findings = found(rows(), skip=["near_duplicates", "leakage"])
    assert tuple(findings) == NAMES
    noted = {name: finding.message for name, finding in findings.items() if finding.status in ("warning", "failed")}
    assert noted == {}
    assert findings["bias"].status == "skipped"
    assert findings["near_duplicates"].status == "skipped"
    assert findings["language"].message.startswith("Languages of 300 texts: en")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("missing", Counts(rows_in=100, empty=20, rows=80)),
        ("duplicates", Counts(rows_in=100, duplicates=20, rows=80)),
        ("conflicting_labels", Counts(rows_in=100, duplicates=1, conflicting=1, rows=99)),
        ("leakage", Counts(rows_in=100, duplicates=1, leaking=1, rows=99)),
    ],
)
def test_what_earlier_stages_counted_is_judged(name, counts):
    finding = found(rows(), counts)[name]
    assert finding.status == "warning"
    assert finding.figure > finding.threshold


def test_damaged_characters():
    table = rows(text=[f"plain text {n}" for n in range(99)] + ["cafÃ© au lait"])
    finding = found(table)["encoding"]
    assert (finding.status, finding.figure, finding.examples) == ("warning", 0.01, (splits.identity("cafÃ© au lait"),))
    assert found(rows(text=[f"café number {n} à la carte" for n in range(50)]))["encoding"].status == "ok"


def test_personal_data_is_counted_and_never_shown():
    table = rows(text=[f"plain text {n}" for n in range(99)] + ["write to ada@example.org today"])
    finding = found(table)["personal_data"]
    assert finding.status == "warning"
    assert "1 email" in finding.message
    assert "ada" not in str(finding.as_dict())


def test_one_class_only_fails_and_a_rare_one_warns():
    assert found(rows(label=["x"] * 300))["label_balance"].status == "failed"
    rare = found(rows(label=["y"] + ["x"] * 299))["label_balance"]
    assert (rare.status, "'y' with 1 of 300" in rare.message) == ("warning", True)


def test_a_table_that_is_not_as_it_should_be_fails():
    wrong = found(rows(split=["train"] * 299 + ["trian"]))["schema"]
    assert (wrong.status, wrong.figure, len(wrong.examples)) == ("failed", 1, 1)
    assert "split is no known split" in wrong.message
    assert found(pa.concat_tables([rows(10), rows(10)]))["schema"].status == "failed", "ids twice"


def test_a_much_longer_text_is_an_outlier():
    texts = [f"{'word ' * (20 + n % 5)}{n}" for n in range(99)]
    finding = found(rows(text=[*texts, "word " * 5000]), limits={"lengths": 0.001})["lengths"]
    assert (finding.status, finding.figure) == ("warning", 0.01)


def test_another_language():
    german = [f"der Film Nummer {n} war so gut wie seine Musik und die Leute darin waren es auch" for n in range(30)]
    finding = found(rows(text=[*(ENGLISH.format(n, n) for n in range(70)), *german]))["language"]
    assert finding.status == "warning"
    assert finding.figure == pytest.approx(0.3, abs=0.05)


def test_labels_that_lie_differently_in_splits_and_slices():
    table = rows(2000)
    split = ["train" if label == "pos" else "test" for label in table["label"].to_pylist()]
    by = ["north" if label == "pos" else "south" for label in table["label"].to_pylist()]
    skewed = table.set_column(3, "split", pa.array(split)).append_column("by", pa.array(by))
    findings = found(skewed, slice_by=["by"], skip=["near_duplicates", "leakage"])
    assert findings["splits"].figure == pytest.approx(0.5, abs=0.01)
    assert findings["splits"].status == findings["bias"].status == "warning"
    assert "by=" in findings["bias"].message
    even = table.append_column("by", pa.array(["north", "north", "south", "south"] * 500))
    assert found(even, slice_by=["by"], skip=["near_duplicates", "leakage"])["bias"].status == "ok"


def test_texts_that_say_almost_the_same_in_two_splits():
    long = " ".join(f"word{n}" for n in range(60))
    table = rows(text=[*(f"text number {n} of {n * 77}" for n in range(50)), f"{long} one", f"{long} two"])
    split = ["test" if text.endswith(" two") else "train" for text in table["text"].to_pylist()]
    findings = found(table.set_column(3, "split", pa.array(split)))
    assert findings["leakage"].figure == 1
    assert findings["near_duplicates"].figure == pytest.approx(1 / 52)


def test_names_are_checked():
    assert checks.named(["all"], "fail_on") == set(NAMES)
    with pytest.raises(UsageError, match="did you mean 'leakage'"):
        checks.named(["leekage"], "fail_on")


def test_rows_without_labels_have_no_check_about_them():
    table = rows().drop_columns(["label"]).append_column("by", pa.array(["north", "south"] * 150))
    findings = found(table, Counts(rows_in=400, empty=100, rows=300), labelled=False, slice_by=["by"], examples=True)
    assert tuple(findings) == tuple(name for name in NAMES if name not in checks.ABOUT_LABELS)
    assert findings["schema"].status == "ok"
    assert findings["missing"].message == "100 of 400 rows had no text and were left out."
    assert found(table)["schema"].status == "failed", "where there should be labels"
