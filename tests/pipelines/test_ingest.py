from __future__ import annotations

import json
import re
from pathlib import Path

import deltalake
import mlflow
import pyarrow.parquet
import pytest

from dlops.config import folders, locations
from dlops.errors import DataError, UsageError
from dlops.ml.settings import Ingest
from pipelines.ingest import ingest
from tests.conftest import REVIEWS, needs_reviews
from tests.data.browser import Browser, needs_chromium, pixels

SHARES = (0.7, 0.1, 0.2)
SPLITS = ("train", "val", "test")


def write_csv(path, count=120):
    lines = ["said,mood", *(f"text number {number},{'pos' if number % 2 else 'neg'}" for number in range(count))]
    path.write_text("\n".join([*lines, "text number 0,neg", "text number 1,neg", ",pos", "no mood,"]) + "\n")


def test_a_file_becomes_a_versioned_dataset(steps):
    write_csv(steps.folder / "moods.csv")
    run, done = steps.run("ingest", "source=moods.csv", "text=said", "label=mood", "splits=0.5,0.2,0.3", "seed=7")
    table = steps.environ["DLOPS_HOME"] + "/data/tables/moods"
    assert run.data.tags["dlops.step"] == "ingest"
    assert run.data.tags["dlops.output.dataset"] == f"{table}@0"
    assert run.data.params["splits"] == "0.5,0.2,0.3"
    metrics = run.data.metrics
    assert {name: metrics[name] for name in ("rows_in", "rows", "duplicates", "conflicting", "empty")} == {
        "rows_in": 124,
        "rows": 120,
        "duplicates": 2,
        "conflicting": 1,
        "empty": 2,
    }
    written = deltalake.DeltaTable(table).to_pyarrow_table().to_pydict()
    assert set(written) == {"id", "text", "label", "split"}
    assert dict(zip(written["text"], written["label"], strict=True))["text number 1"] == "pos", "the first one stays"
    for name in ("train", "val", "test"):
        assert metrics[f"rows_{name}"] == written["split"].count(name) > 0
    assert "1 with another label" in done.stdout
    found = run.inputs.dataset_inputs[0].dataset
    assert (found.name, found.digest) == ("moods", run.data.tags["dlops.output.digest"])
    assert json.loads(found.source)["path"] == table
    card = json.loads((steps.artifacts(run) / "card.json").read_text())
    made, counted = card["description"], card["distributions"]
    assert (card["title"], card["refused"]) == ("moods@0", [])
    assert made["source"] == str(steps.folder / "moods.csv")
    assert (made["columns"], made["seed"], made["version"]) == ({"text": "said", "label": "mood"}, 7, 0)
    assert (made["synthetic"], made["counts"]["rows"]) == (False, 120)
    shares, by_split = counted["label_shares"]["neg"], counted["rows_by_split"]
    assert sum(shares[name] * by_split[name] for name in SPLITS) == pytest.approx(60)
    assert {check["name"]: check["status"] for check in card["findings"]}["schema"] == "ok"
    assert made["cleaning"]["html"] is True
    assert made["origin"]["kind"]
    place = run.data.tags["dlops.output.card"]
    assert f"Card {place}" in done.stdout
    assert "moods@0 · data card" in Path(mlflow.artifacts.download_artifacts(place)).read_text(encoding="utf-8")
    snapshot = pyarrow.parquet.read_table(steps.artifacts(run) / "snapshot.parquet").to_pydict()
    assert dict(zip(snapshot["id"], snapshot["text"], strict=True)) == dict(
        zip(written["id"], written["text"], strict=True)
    )


def test_the_sample_twice_is_one_version_and_is_called_synthetic(steps):
    first, done = steps.run("ingest")
    again, told = steps.run("ingest")
    assert first.data.tags["dlops.output.dataset"] == again.data.tags["dlops.output.dataset"]
    assert again.data.tags["dlops.output.dataset"].endswith("/tables/sample@0")
    assert "still version 0" in told.stdout
    assert first.data.metrics["rows"] >= 2000
    assert first.data.metrics["duplicates"] > 0
    assert "synthetic" in done.stdout
    assert json.loads((steps.artifacts(first) / "card.json").read_text())["description"]["synthetic"] is True
    assert {tag.key: tag.value for tag in first.inputs.dataset_inputs[0].tags}["synthetic"] == "true"


def test_new_rows_move_no_old_one_and_make_a_version(steps):
    file, table = steps.folder / "moods.csv", steps.folder / "table"
    for count in (100, 200):
        write_csv(file, count)
        run, _ = steps.run("ingest", f"source={file}", "table=./table", "text=said", "label=mood")
    assert run.data.tags["dlops.output.dataset"] == f"{table}@1"
    before, after = (
        deltalake.DeltaTable(str(table), version=version).to_pyarrow_table().to_pydict() for version in (0, 1)
    )
    later = dict(zip(after["id"], after["split"], strict=True))
    assert len(later) == 200
    assert all(later[row] == split for row, split in zip(before["id"], before["split"], strict=True))


@pytest.mark.parametrize(
    ("content", "shares", "said"),
    [
        ("title,stars\na,1\n", SHARES, ["title, stars", "text=title"]),
        ("text,label\na,1\nb\n", SHARES, ["data.csv:3"]),
        ("text,label\na,1\nb,1\n", SHARES, ["the label '1'", "Two are needed"]),
        ("text,label\n,1\n", SHARES, ["no row with both"]),
        ("text,label\n" + "".join(f"t{n},{n}\n" for n in range(50)), SHARES, ["50 different values", "label=COLUMN"]),
        ("text,label\na,1\nb,0\n", (0.98, 0.01, 0.01), ["came into test", "splits="]),
    ],
)
def test_data_that_is_of_no_use_is_refused_and_nothing_is_written(run, tmp_path, content, shares, said):
    (tmp_path / "data.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        ingest(Ingest(source="data.csv", splits=shares))
    told = f"{caught.value} {caught.value.hint}"
    assert all(part in told for part in said), told
    assert not folders.data().exists()


LONG = "the weather was {} and the food was what one could expect of a place like this one by the sea in may"


def test_a_check_that_must_not_find_anything_ends_with_exit_3_and_nothing_written(steps):
    pairs = [f"{LONG.format(number)},{'pos' if number % 2 else 'neg'}" for number in range(200)]
    (steps.folder / "moods.csv").write_text("\n".join(["said,mood", *pairs]) + "\n")
    words = ("source=moods.csv", "text=said", "label=mood", "near_duplicates=report")
    run, done = steps.run("ingest", *words, "fail_on=near_duplicates", exit_code=3)
    assert run.data.tags["dlops.gate"] == "failed"
    assert "nothing was written" in done.stderr
    assert not Path(steps.environ["DLOPS_HOME"], "data/tables/moods").exists()
    card = json.loads((steps.artifacts(run) / "card.json").read_text())
    assert (card["title"], card["refused"]) == ("moods", ["near_duplicates"])
    assert "Nothing was written: fail_on= names near duplicates" in (steps.artifacts(run) / "card.html").read_text(
        encoding="utf-8"
    )
    assert f"Card {run.data.tags['dlops.output.card']}" in done.stdout
    passed, _ = steps.run("ingest", *words, "fail_on=near_duplicates", "skip=near_duplicates")
    assert passed.data.metrics["rows"] == 200


def test_a_check_of_no_such_name_is_told_before_anything_is_read(steps):
    _, done = steps.run("ingest", "source=nowhere.csv", "fail_on=leekage", exit_code=2)
    assert "did you mean 'leakage'" in done.stderr


def test_near_duplicates_go_when_asked(run, tmp_path):
    pairs = [f"{LONG.format('bad')},neg", f"{LONG.format('good')},pos"]
    pairs += [f"something else altogether number {number} of {number * 7},pos" for number in range(100)]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *pairs]) + "\n")
    ingest(Ingest(source="data.csv", near_duplicates="drop"))
    written = deltalake.DeltaTable(str(locations.table("data"))).to_pyarrow_table().to_pydict()
    assert sum(text.startswith("the weather") for text in written["text"]) == 1
    assert not any("food was" in text and " good " in text for text in written["text"]), "the first one stays"


def test_what_cannot_be_read_is_left_out_with_its_reason_when_asked(steps):
    write_csv(steps.folder / "moods.csv")
    with (steps.folder / "moods.csv").open("a") as file:
        file.write("one,two,three\n")
    words = ("source=moods.csv", "text=said", "label=mood")
    _, done = steps.run("ingest", *words, exit_code=4)
    assert "moods.csv:126" in done.stderr
    assert "on_error=reject" in done.stderr
    run, _ = steps.run("ingest", *words, "on_error=reject")
    assert (run.data.metrics["rejects"], run.data.metrics["rows"], run.data.metrics["rows_in"]) == (1, 120, 125)
    (reject,) = map(json.loads, (steps.artifacts(run) / "rejects.jsonl").read_text().splitlines())
    assert (reject["line"], reject["file"]) == (126, str(steps.folder / "moods.csv"))
    assert "row" not in reject


def test_groups_pairs_kept_columns_and_renamed_labels(run, tmp_path):
    lines = ["premise,claim,gold,author,day"]
    lines += [f"p{n},c{n},{n % 2},a{n % 15},d{n}" for n in range(150)]
    (tmp_path / "nli.csv").write_text("\n".join(lines) + "\n")
    columns = {"text": "premise", "text_pair": "claim", "label": "gold", "group": "author", "keep": ("day",)}
    ingest(Ingest(source="nli.csv", label_map=("0=no", "1=yes"), slice_by=("day",), **columns))
    rows = deltalake.DeltaTable(str(locations.table("nli"))).to_pyarrow_table().to_pylist()
    assert set(rows[0]) == {"id", "text", "text_pair", "label", "split", "group", "day"}
    assert {row["label"] for row in rows} == {"no", "yes"}
    homes = {row["group"]: {other["split"] for other in rows if other["group"] == row["group"]} for row in rows}
    assert {len(splits) for splits in homes.values()} == {1}


def test_wrong_shares_are_wrong_usage(steps):
    _, done = steps.run("ingest", "splits=0.5,0.5", exit_code=2)
    assert "add" in done.stderr or "shares" in done.stderr


def test_the_three_spellings(steps):
    write_csv(steps.folder / "moods.csv")
    run, _ = steps.run("ingest", "--source", "moods.csv", "--text=said", "label=mood")
    assert run.data.metrics["rows"] == 120


def test_texts_that_are_none_count_in_no_length(steps):
    texts = [f"text number {number}" for number in range(100)] + [
        "",
        None,
        7,
        "half \ud800 sign",
        "Füße sind zum Gehen",
    ]
    lines = [json.dumps({"text": text, "label": str(number % 2)}) for number, text in enumerate(texts)]
    (steps.folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    run, _ = steps.run("ingest", "source=data.jsonl", "on_error=reject")
    as_read = json.loads((steps.artifacts(run) / "card.json").read_text())["words_as_read"]
    assert (as_read["min"], as_read["max"]) == (3, 4)
    assert sum(part["texts"] for part in as_read["histogram"]) == 101


@needs_reviews
def test_real_reviews(steps):
    """What is in them: one exact duplicate, `<br />` in 1,468 rows, 11 to 1,737 words."""
    run, _ = steps.run("ingest", f"source={REVIEWS}", "splits=0.6,0.1,0.3")
    assert (run.data.metrics["rows_in"], run.data.metrics["rows"], run.data.metrics["duplicates"]) == (2500, 2499, 1)
    assert run.data.metrics["rows_test"] == pytest.approx(750, abs=60)
    card = json.loads((steps.artifacts(run) / "card.json").read_text())
    findings = {finding["name"]: finding for finding in card["findings"]}
    assert findings["duplicates"]["figure"] == 1 / 2500
    assert {name: finding["status"] for name, finding in findings.items() if finding["status"] != "ok"} == {
        "bias": "skipped"
    }
    assert card["cleaned"]["html"] == 1468
    assert (card["words_as_read"]["min"], card["words_as_read"]["max"]) == (11, 1737)
    assert (card["distributions"]["words"]["min"], card["distributions"]["words"]["max"]) == (11, 1723)
    html = (steps.artifacts(run) / "card.html").read_text(encoding="utf-8")
    for told in ("1 of 2500 rows have the text of an earlier one", ">1,468 <", ">1,737</td>"):
        assert told in html


@pytest.mark.slow
@needs_reviews
@needs_chromium
def test_a_browser_draws_the_card_of_real_reviews_and_asks_nobody_for_anything(steps, tmp_path):
    run, _ = steps.run("ingest", f"source={REVIEWS}")
    card = steps.artifacts(run) / "card.html"
    html = card.read_text(encoding="utf-8")
    colours = {name: re.findall(rf"--{name}: (#\w+)", html) for name in ("page", "bar", "c1")}
    with Browser(tmp_path) as browser:
        assert browser.content(card).count("<svg") == 2
        for dark in (False, True):
            drawn = browser.picture(card, dark=dark)
            for own in colours.values():
                assert pixels(drawn, own[dark]) > 10_000
                assert pixels(drawn, own[not dark]) == 0
        assert browser.asked == set()


def test_what_can_be_known_is_told_before_anything_is_read(steps):
    (steps.folder / "notes").mkdir()
    (steps.folder / "notes" / "a.txt").write_text("mine")
    write_csv(steps.folder / "moods.csv")
    words = ("source=moods.csv", "text=said", "label=mood")
    _, done = steps.run("ingest", *words, "table=./notes", exit_code=4)
    assert "is no Delta table" in done.stderr
    assert "Reading" not in done.stdout
    _, done = steps.run("ingest", *words, "min_characters=50", "max_characters=10", exit_code=2)
    assert "no text is so long" in done.stderr


def test_when_every_row_is_rejected_the_reasons_stay(steps):
    (steps.folder / "data.jsonl").write_text('{"text": "a \\ud800", "label": "x"}\n' * 30)
    run, done = steps.run("ingest", "source=data.jsonl", "on_error=reject", exit_code=4)
    assert "30 were rejected, 30 of them with" in done.stderr
    assert "surrogate" in done.stderr
    assert len((steps.artifacts(run) / "rejects.jsonl").read_text().splitlines()) == 30
    (steps.folder / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00cut")
    run, done = steps.run("ingest", "source=cut.csv.gz", "on_error=reject", exit_code=4)
    assert "has no row that can be used: 1 were rejected" in done.stderr


def test_a_lost_file_and_a_class_that_nobody_has_are_told(steps):
    write_csv(steps.folder / "moods.csv")
    (steps.folder / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00cut")
    words = ("text=said", "label=mood", "on_error=reject", "label_map=pos=good,negg=bad", "table=./t")
    run, done = steps.run("ingest", "source=moods.csv,cut.csv.gz", *words)
    assert "1 row was rejected" in done.stdout
    assert "1 of the files could not be read, or not to the end" in done.stdout
    assert "no label was 'negg'; the labels are good, neg." in done.stdout
    assert "'pos'" not in done.stdout
    assert run.data.metrics["rejects"] == 1


def test_texts_alone(steps):
    texts = [f"line number {number} of a note" for number in range(150)]
    (steps.folder / "notes.txt").write_text("\n".join([*texts, "", texts[0]]) + "\n")
    _, done = steps.run("ingest", "source=notes.txt", exit_code=4)
    assert "target=none" in done.stderr
    run, done = steps.run(
        "ingest", "source=notes.txt", "target=none", "examples=true", "fail_on=all", "skip=near_duplicates,leakage"
    )
    table = steps.environ["DLOPS_HOME"] + "/data/tables/notes"
    assert run.data.tags["dlops.output.dataset"] == f"{table}@0"
    written = deltalake.DeltaTable(table).to_pyarrow_table().to_pydict()
    assert list(written) == ["id", "text", "split"]
    assert sorted(written["text"]) == sorted(texts)
    assert (run.data.metrics["rows_in"], run.data.metrics["duplicates"], run.data.metrics["conflicting"]) == (151, 1, 0)
    card = json.loads((steps.artifacts(run) / "card.json").read_text())
    assert (card["description"]["labels"], card["description"]["columns"]) == ("none", {"text": "text"})
    assert not {finding["name"] for finding in card["findings"]} & {
        "label_balance",
        "conflicting_labels",
        "splits",
        "bias",
    }
    assert "label" not in (done.stdout + done.stderr).replace("no label:", "")
    columns = json.loads(run.inputs.dataset_inputs[0].dataset.schema)["mlflow_colspec"]
    assert [column["name"] for column in columns] == ["text", "split"]


def test_texts_without_labels_need_to_be_trained_on_only(run, tmp_path):
    (tmp_path / "data.jsonl").write_text('{"said": "a b"}\n{"said": "c"}\n')
    ingest(Ingest(source="data.jsonl", target="none", splits=(1.0, 0.0, 0.0)))
    assert set(deltalake.DeltaTable(str(locations.table("data"))).to_pyarrow_table()["split"].to_pylist()) == {"train"}
    (tmp_path / "empty.csv").write_text("text,label\n,x\n")
    with pytest.raises(DataError, match="no row with a text"):
        ingest(Ingest(source="empty.csv", target="none"))


def test_labels_and_none_contradict_each_other(run):
    settings = {"label": "mood", "label_map": ("0=no",), "slice_by": ("day",)}
    with pytest.raises(UsageError) as caught:
        ingest(Ingest(source="nowhere.csv", target="none", **settings))
    assert [problem.split()[0] for problem in caught.value.problems] == [f"'{name}'" for name in settings]
    assert caught.value.hint == "Leave out label=, label_map=, slice_by=, or target=none."
