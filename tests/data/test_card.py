from __future__ import annotations

import json
import re
from dataclasses import replace

import pyarrow as pa
import pytest

from dlops.data.card import Card
from dlops.data.checks import NAMES, Checks, Finding
from dlops.data.cleaning import Changes
from dlops.data.conversion import Counts
from dlops.data.distributions import Distributions, Lengths
from tests.data.browser import Browser, needs_chromium
from tests.data.test_page import Page

HOSTILE = [
    "<script>fetch('http://localhost/label')</script>",
    '"><img src=http://localhost/x onerror=alert(1)>',
    "' onload='alert(1)",
    "</title></style></svg><b>",
    "{style} {body} \\1 %s",
    "\u202eright to left\x00",
    "",
]


def rows(labels=("neg", "pos"), count=300, **columns):
    made = {
        "id": [f"{place:016x}" for place in range(count)],
        "text": [f"private words number {place} of a text that no one shows" for place in range(count)],
        "label": [labels[place % len(labels)] for place in range(count)],
        "split": [("train", "train", "val", "test")[place // 7 % 4] for place in range(count)],
    }
    return pa.table(made | columns)


def card(table, *, title="reviews@3", description=None, examples=False, **looked):
    checks = Checks(examples=True, skip=["near_duplicates", "language"], **looked)
    checks.observe(table)
    return Card(
        title=title,
        description=description or {"source": {"uri": "reviews.csv"}, "counts": {"rows_in": 12345}, "synthetic": True},
        findings=checks.findings(Counts(rows_in=len(table), rows=len(table))),
        distributions=checks.distributions,
        texts=checks.texts,
        examples=examples,
    )


def test_the_document_is_json_and_holds_everything():
    document = json.loads(json.dumps(card(rows(group=["a", "b"] * 150), slice_by=["group"]).document()))
    assert document["title"] == "reviews@3"
    assert document["description"]["counts"] == {"rows_in": 12345}
    assert [finding["name"] for finding in document["findings"]] == list(NAMES)
    assert document["distributions"]["rows"] == 300
    assert sum(part["texts"] for part in document["distributions"]["words"]["histogram"]) == 300
    assert {slice_["value"] for slice_ in document["distributions"]["slices"]["group"]} == {"a", "b"}
    assert document["examples"] == []


def test_the_page_tells_what_there_is():
    page = Page(card(rows(group=["a", "b"] * 150), slice_by=["group"]).html())
    for told in (
        "reviews@3",
        "reviews.csv",
        "rows in: 12345",
        "synthetic",
        "yes",
        "Labels by group",
        "near duplicates",
    ):
        assert told in page.text
    assert len(page.all("svg")) == 3
    assert "Nothing was written" not in page.text


def test_what_needs_a_look_comes_first():
    made = [
        Finding(name="schema", status="ok"),
        Finding(name="missing", status="skipped"),
        Finding(name="bias", status="warning", message="50.0 %"),
        Finding(name="leakage", status="failed", figure=12345),
    ]
    html = Card(title="x", description={}, findings=made, distributions=Distributions()).html()
    statuses = re.findall(r"class='status (\w+)'", html)
    assert statuses == ["failed", "warning", "ok", "skipped"]
    assert "12,345" in html
    assert "2 of 3" in html


def test_what_cleaning_changed_and_how_long_texts_were_before():
    as_read = Lengths()
    as_read.add(pa.array(["three words here", "one<br />two"]))
    changes = Changes(texts=1234, changed=617, html=600)
    made = Card(title="x", description={}, findings=[], distributions=Distributions(), as_read=as_read, changes=changes)
    assert made.document()["cleaned"] == {"texts": 1234, "changed": 617, "html": 600, "unicode": 0, "whitespace": 0}
    assert (made.document()["words_as_read"]["min"], made.document()["words_as_read"]["max"]) == (2, 3)
    text = Page(made.html()).text
    assert "Of 1,234 texts" in text
    assert "HTML tags or entities600 48.6%" in text
    assert "any of these617 50.0%" in text


def test_lengths_as_read_stand_beside_those_as_written():
    made = card(rows())
    made.as_read.add(pa.array(["a b", " ".join("w" * 2345)]))
    text = Page(made.html()).text
    assert "as readas written" in text
    assert "longest2,34511" in text


def test_a_refusal_is_told_first():
    made = replace(card(rows()), refused=["near_duplicates", "bias"])
    assert made.document()["refused"] == ["near_duplicates", "bias"]
    text = Page(made.html()).text
    assert text.index("Nothing was written: fail_on= names near duplicates, bias") < text.index("Findings")


def test_a_share_that_must_not_be_lower_and_one_that_must_not_be_higher():
    made = [
        Finding(name="label_balance", status="ok", figure=0.4, threshold=0.05, rows_checked=10),
        Finding(name="lengths", status="ok", figure=0.01, threshold=0.02, rows_checked=10, sampled=True),
    ]
    text = Page(Card(title="x", description={}, findings=made, distributions=Distributions()).html()).text
    assert "40.00%≥ 5.00%10" in text
    assert "1.00%≤ 2.00%10 (sample)" in text


def test_texts_are_shown_only_where_they_are_asked_for():
    hidden, shown = card(rows()), card(rows(), examples=True)
    for text in (hidden.html(), json.dumps(hidden.document())):
        assert "private words" not in text
    assert shown.html().count("private words") == 5
    assert len(shown.document()["examples"]) == 5


@pytest.mark.parametrize("examples", [False, True])
def test_nothing_that_someone_wrote_becomes_markup(examples):
    """Labels, columns, slices, titles, metadata, texts: the page of hostile ones has the elements of a tame one."""
    # As many words as the hostile ones: lengths are drawn.
    tame = [" ".join(f"label{place}" for _ in words.split()) for place, words in enumerate(HOSTILE)]
    pages = []
    for words in (tame, HOSTILE):
        column = words[0]
        made = rows(words, count=700, **{column: [words[place % len(words)] for place in range(700)]})
        if examples:
            made = made.set_column(1, "text", pa.array([f"{words[place % len(words)]} x" for place in range(700)]))
        description = {words[1]: {words[2]: words[3]}, "source": [words[4], words[0]]}
        done = card(made, title=words[3], description=description, slice_by=[column], examples=examples)
        pages.append(Page(done.html()))
    for kinds in zip(*([tag for tag, _ in page.elements] for page in pages), strict=True):
        assert kinds[0] == kinds[1]
    allowed = {name for attributes in pages[0].all(*{tag for tag, _ in pages[0].elements}) for name in attributes}
    assert {name for _, attributes in pages[1].elements for name in attributes} == allowed
    assert HOSTILE[0] in pages[1].text
    assert "\x00" not in pages[1].text
    assert "\u202e" not in pages[1].text


def test_the_page_can_be_heard():
    """Tables have captions and heads, pictures have a text, and a status is a word, not a colour alone."""
    page = Page(card(rows(group=["a", "b"] * 150), slice_by=["group"], examples=True).html())
    assert len(page.all("table")) == len(page.all("caption")) >= 5
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 20 for attributes in page.all("svg"))
    assert {attributes.get("lang") for attributes in page.all("html")} == {"en"}
    assert len(page.all("h1")) == 1


def test_more_classes_than_colours():
    labels = [f"class {place}" for place in range(150)]
    page = Page(card(rows(labels, count=600)).html())
    assert "142 others" in page.text
    assert "100 more classes" in page.text
    assert len({attributes["class"] for attributes in page.all("rect")} - {"bar"}) == 9


def test_labels_that_are_numbers():
    page = Page(card(rows(label=[place / 2 for place in range(300)])).html())
    assert "Maximum" in page.text
    assert "149.5" in page.text


def test_no_rows():
    made = card(
        rows(
            count=0,
            label=pa.array([], pa.string()),
            id=pa.array([], pa.string()),
            text=pa.array([], pa.string()),
            split=pa.array([], pa.string()),
        )
    )
    assert "There are no texts." in Page(made.html()).text


@pytest.mark.slow
@needs_chromium
def test_a_browser_runs_and_requests_nothing_that_someone_wrote(tmp_path):
    columns = {"group": [HOSTILE[place % len(HOSTILE)] for place in range(700)]}
    made = card(rows(HOSTILE, count=700, **columns), title=HOSTILE[1], slice_by=["group"], examples=True)
    page = tmp_path / "card.html"
    page.write_text(made.html(), encoding="utf-8")
    with Browser(tmp_path) as browser:
        content = browser.content(page)
        assert "alert(1)&gt;" in content
        assert "Rows looked at" in content
        assert browser.asked == set()


def test_without_labels_nothing_speaks_of_them():
    made = card(rows().drop_columns(["label"]), examples=True, labelled=False, description={"labels": "none"})
    document = made.document()
    assert set(document["distributions"]) == {"words", "rows", "rows_by_split", "slices"}
    assert all(set(example) == {"id", "text"} for example in document["examples"])
    page = Page(made.html())
    assert {"Labels", "Label", "Class", "classes"} & {text.strip() for text in page.text.split("\n")} == set()
    assert "label" not in page.text.replace("labels", "", 1).lower(), "but for the description's own"
    assert "private words" in page.text
    assert len(page.all("svg")) == 1
