from __future__ import annotations

import json

import pytest

from dlops.config.inference import Inference, parse
from dlops.config.parameters import structure


def read(text):
    problems: list[str] = []
    return parse(structure(text), problems), problems


def test_what_is_left_out_has_a_default():
    assert read("{}") == (Inference(), [])
    assert Inference() == Inference(cleaning="ingest", languages=(), others="none", cache=10_000)


def test_yaml_and_json_say_the_same():
    written = {"cleaning": {"html": False, "unicode": "NFKC"}, "languages": ["en", "no"], "others": {"label": "other"}}
    found, problems = read("{cleaning: {html: no, unicode: NFKC}, languages: [en, no], others: {label: other}}")
    assert not problems
    assert found == read(json.dumps(written))[0]
    assert found.cleaning == {"html": False, "unicode": "NFKC"}
    assert found.languages == ("en", "no"), "Norwegian is no boolean"
    assert found.others == {"label": "other"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[en]", "takes a mapping"),
        ("{language: en}", "'language' is no part of it; did you mean 'languages'?"),
        ("{languages: [english]}", "languages: takes codes of two letters such as en, not english"),
        ("{others: other}", "others: takes answer, none or {label: NAME}, not 'other'"),
        ("{cleaning: {htm: true}}", "cleaning: takes ingest, none, or some of html, unicode, whitespace"),
        ("{cleaning: {html: perhaps}}", "cleaning: takes true or false, not 'perhaps'"),
        ("{cleaning: {unicode: NFD}}", "'NFD' is not one of NFC, NFKC, none"),
        ("{cache: -1}", "cache: must be at least 0"),
    ],
)
def test_what_is_wrong_is_told(text, told):
    _, problems = read(text)
    assert len(problems) == 1
    assert told in problems[0]


def test_all_that_is_wrong_is_told_at_once():
    assert len(read("{cache: many, others: x, size: 3}")[1]) == 3
