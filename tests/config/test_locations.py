"""What values name: files, tables, models and words, absolute where a folder matters."""

from __future__ import annotations

import pytest

from dlops.config import locations
from dlops.config.locations import located


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder of whoever writes the value, beside the user's data folder."""
    (tmp_path / "here/data").mkdir(parents=True)
    (tmp_path / "home/data/tables/kept").mkdir(parents=True)
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("kind", "text", "becomes"),
    [
        ("path", "s3://bucket/a.csv", "s3://bucket/a.csv"),
        ("path", "runs:/abc/data", "runs:/abc/data"),
        ("location", "sample", "sample"),
        ("location", "data/*.csv", "{here}/data/*.csv"),
        ("location", "*.csv", "{here}/*.csv"),
        ("location", "data, ./data,s3://b/c.csv,sample", "{here}/data,{here}/data,s3://b/c.csv,sample"),
        ("location", "data,nothing.csv", None),
        ("location", "data@3", "{here}/data@3"),
        ("location", "data", "{here}/data"),
        ("location", "nothing.csv", None),
        ("dataset", "data", "{here}/data"),
        ("dataset", "data@3", "{here}/data@3"),
        ("dataset", "./data@2026-01-31T00:00:00Z", "{here}/data@2026-01-31T00:00:00Z"),
        ("dataset", "kept@0", "{home}/data/tables/kept@0"),
        ("dataset", "runs:/abc/dataset", "runs:/abc/dataset"),
        ("dataset", "nothing", None),
        ("dataset", "./kept", None),
        ("location", "@5", "@5"),
        ("location", "/", "/"),
        ("location", "a word of many letters " * 40, "a word of many letters " * 40),
        ("location", "~nobody-of-this-name", None),
        ("location", "a/b", None),
        ("path", "sample", None),
        ("path", "@5", None),
        ("path", "x" * 5000, None),
        ("table", "new/table", "{here}/new/table"),
        ("table", "new", "{home}/data/tables/new"),
        ("table", "data", "{home}/data/tables/data"),
        ("table", "s3://b/t", "s3://b/t"),
        ("model", "prajjwal1/bert-tiny", "prajjwal1/bert-tiny"),
        ("model", "data", "{here}/data"),
        ("model", "package:gt", "package:gt"),
        ("str", "./data", "./data"),
    ],
)
def test_paths_uris_and_words(here, kind, text, becomes):
    if becomes is None:
        with pytest.raises(ValueError, match=r"^names no (file or folder|dataset): /"):
            located(kind, text, here)
    else:
        assert located(kind, text, here) == becomes.format(here=here, home=here.parent / "home")


@pytest.mark.parametrize(("kind", "near"), [("location", "reviews.csv"), ("path", "reviews.csv"), ("dataset", "kept")])
def test_a_misspelt_name_is_answered_with_the_nearest(here, kind, near):
    (here / "reviews.csv").touch()
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        located(kind, near.replace("e", "ee"), here)


def test_what_ingest_has_not_made_yet_is_said_so(here):
    with pytest.raises(ValueError, match="dlops ingest"):
        located("dataset", "sample", here, default=True)


def test_home_is_the_users(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert located("path", "~/data", here.parent) == str(here / "data")


@pytest.mark.parametrize("kind", ["location", "model"])
def test_the_word_that_is_the_default_stays_one_where_a_folder_is_called_so(here, kind):
    assert located(kind, "data", here, default=True) == "data"
    assert located(kind, "data", here) == str(here / "data")
    assert located(kind, "./data", here, default=True) == str(here / "data")


def test_a_bare_name_is_the_users_table_before_the_folders(here, monkeypatch):
    (here / "kept").mkdir()
    monkeypatch.chdir(here)
    assert locations.place("kept") == locations.table("kept")
    assert locations.place("data") == here / "data"
    assert locations.place("neither") == locations.table("neither")


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("a", ("a", None)),
        ("a@12", ("a", 12)),
        ("s3://b/a@0", ("s3://b/a", 0)),
        ("a@2026-01-31T00:00:00Z", ("a", "2026-01-31T00:00:00Z")),
        ("a@2026-01-31T00:00:00.5+01:00", ("a", "2026-01-31T00:00:00.5+01:00")),
        ("a@b", ("a@b", None)),
        ("@5", ("@5", None)),
    ],
)
def test_versions(reference, parts):
    assert locations.versioned(reference) == parts


@pytest.mark.parametrize("text", ["reviews@1", "./reviews@12", "reviews@2026-01-31T00:00:00Z"])
def test_a_table_is_not_named_like_a_version(here, text):
    with pytest.raises(ValueError, match="ends as a version"):
        located("table", text, here)
    assert located("table", "./re@views", here).endswith("/re@views")


def test_a_structure_may_be_in_a_file(here):
    (here / "space.yaml").write_text("learning_rate: {uniform: [1e-5, 0.10]}\n")
    (here / "points.yaml").write_text("- {learning_rate: 2e-5}\n")
    assert located("space", '"space.yaml"', here) == '{"learning_rate": {"uniform": ["1e-5", "0.10"]}}'
    assert located("points", '"points.yaml"', here) == '[{"learning_rate": "2e-5"}]'
    assert located("inference", '{"cache": "3"}', here) == '{"cache": "3"}'
    with pytest.raises(ValueError, match="names no file"):
        located("inference", '"nothing.yaml"', here)
    (here / "twice.yaml").write_text("cache: 1\ncache: 2\n")
    with pytest.raises(ValueError, match="cannot be read"):
        located("inference", '"twice.yaml"', here)
