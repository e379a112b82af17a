"""YAML as people write it, and the line of what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.config import yaml
from dlops.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def of(text, **options):
        file = tmp_path / "c.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return yaml.load(file, **options)

    return of


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["r", "e", "E", "+"]))
def test_any_number_python_writes_is_a_number(tmp_path_factory, number, form):
    written = {"r": repr(number), "e": f"{number:.17e}", "E": f"{number:.17E}", "+": f"{number:.0e}"}[form]
    file = tmp_path_factory.getbasetemp() / "n.yaml"
    file.write_text(f"a: {written}\n")
    found = yaml.load(file).values["a"]
    assert isinstance(found, int | float)
    assert float(found) == float(written)


@pytest.mark.parametrize("written", ["2e-5", "1E5", "-3e+2", "2.e-5", ".5e3", "1e3"])
def test_an_exponent_needs_neither_dot_nor_sign(read, written):
    assert read(f"a: {written}").values["a"] == float(written)


@pytest.mark.parametrize("written", ["e5", "1e", "1e5x", "v1e5", "1-e5"])
def test_what_is_no_number_stays_text(read, written):
    assert read(f"a: {written}").values["a"] == written


def test_keys_are_as_written(read):
    assert set(read("on: 1\n1.10: 2\n007: 3\n~: 4\n").values) == {"on", "1.10", "007", "~"}
    assert read("a: {on: 1, no: 2}").values["a"] == {"on": 1, "no": 2}


def test_as_text_nothing_is_guessed(read):
    text = "a: 1.10\nb: yes\nc: 2026-01-31T00:00:00Z\nd: 010\ne: 12:30\nf: [1e5, off]\n"
    values = read(text, as_text=True).values
    assert dict(values) == {
        **{"a": "1.10", "b": "yes", "c": "2026-01-31T00:00:00Z", "d": "010", "e": "12:30", "f": ["1e5", "off"]}
    }


def test_as_text_nothing_is_still_nothing(read):
    assert dict(read("a:\nb: ~\nc: null\nd: ''\n", as_text=True).values) == {"a": None, "b": None, "c": None, "d": ""}


def test_where_names_file_and_line(read, tmp_path):
    document = read("# comment\na: 1\n\nb:\n  - 2\nc: {d: 3}\n")
    assert document.where("b") == f"{tmp_path}/c.yaml:4"
    assert document.where("c").endswith(":6")
    assert document.where("missing") == f"{tmp_path}/c.yaml"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\ufeff"])
def test_empty_is_an_empty_mapping(read, text):
    assert dict(read(text).values) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3: 'a' is given twice, first on line 1"),
        ("x:\n  a: 1\n  a: 2\n", ":3: 'a' is given twice"),
        ("x:\n- {a: 1, a: 2}\n", "given twice"),
        ("1: x\n'1': y\n", "given twice"),
        ("a: [1\n", ":2 is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: *nowhere\n", "not valid YAML"),
        ("a: 2026-02-31\n", "not valid YAML"),
        ("a: !!int x\n", "not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        ("? [a, b]\n: 1\n", "not valid YAML"),
        ("a: \t- b\n\tc", "not valid YAML"),
        ("a: " + "[" * 3000, "not valid YAML"),
        ("- a\n- b\n", "not a list"),
        ("just words\n", "not a str"),
        (b"a: caf\xe9\n", "not UTF-8"),
        (b"a: \x00\n", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told(read, text, why):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert why in str(caught.value)
    assert "c.yaml" in str(caught.value)


def test_an_alias_of_itself_ends(read):
    document = read("a: &a [1, *a]\n")
    assert document.values["a"][0] == 1


def test_aliases_of_aliases_take_no_time(read):
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert len(read("\n".join(lines)).values) == 30


def test_merge_keys_merge(read):
    assert read("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\n").values["more"] == {"x": 1, "y": 3}
    assert read("<<: {x: yes}\ny: no\n", as_text=True).values == {"x": "yes", "y": "no"}


def test_a_folder_or_nothing_cannot_be_read(tmp_path):
    for file in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(ConfigError, match="cannot be read"):
            yaml.load(file)


def test_a_file_that_has_changed_is_read_again(read, tmp_path):
    first = read("a: 1")
    assert read("a: 12").values["a"] == 12
    (tmp_path / "other").write_text("a: 34")
    (tmp_path / "other").replace(tmp_path / "c.yaml")
    assert yaml.load(tmp_path / "c.yaml").values["a"] == 34
    assert first.values["a"] == 1
    (tmp_path / "c.yaml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        yaml.load(tmp_path / "c.yaml")
