from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from dlops.project.pipeline import picture, progress

SVG = "{http://www.w3.org/2000/svg}"
STEPS = [
    {"name": "a", "state": "cached", "why": "<nothing> & changed"},
    {"name": "b", "state": "finished", "seconds": 12.34, "needs": ["a"]},
    {"name": "c", "state": "refused", "error": "too low", "needs": ["a"], "run_id": "f" * 32},
    {"name": "a-name-that-is-longer-than-its-box", "state": "skipped", "why": "c was refused", "needs": ["b", "c"]},
]


def boxes(text):
    rects = ET.fromstring(text).iter(f"{SVG}rect")
    return [(int(rect.get("x", 0)), int(rect.get("y", 0))) for rect in rects]


def test_each_step_stands_right_of_what_it_needs():
    (a, b, c, last) = boxes(picture.svg(STEPS))
    assert a[0] < b[0] == c[0] < last[0]
    assert b[1] != c[1]
    assert len(list(ET.fromstring(picture.svg(STEPS)).iterfind(f".//{SVG}path[@class='edge']"))) == 4


def test_a_step_tells_its_state_and_why():
    drawn = ET.fromstring(picture.svg(STEPS))
    titles = [title.text for title in drawn.iter(f"{SVG}title")]
    assert titles[0] == "a: cached. <nothing> & changed"
    assert titles[2] == "c: refused. too low"
    shown = [text.text for text in drawn.iter(f"{SVG}text")]
    assert "✓ finished · 12.3 s" in shown
    assert "a-name-that-is-longer…" in shown
    assert drawn.get("aria-label", "").startswith("a cached; b finished")


@pytest.mark.parametrize("state", sorted({*progress.OVER, progress.RUNNING, progress.WAITING}))
def test_every_state_has_a_look(state):
    text = picture.svg([{"name": "a", "state": state}])
    (kind,) = re.findall(r'<g class="(s\d+)">', text)
    assert text.count(f".{kind} rect") == 2, "on light and on dark paper"


def test_the_page_holds_picture_and_table():
    text = picture.files(STEPS)[picture.HTML]
    HTMLParser().feed(text)
    assert "<svg" in text
    assert "&lt;nothing&gt; &amp; changed" in text
    assert f"<code>{'f' * 32}</code>" in text
    assert set(picture.files(STEPS)) == {"pipeline.svg", "pipeline.html"}
