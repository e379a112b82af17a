from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from dlops.data import page
from tests.data.browser import Browser, needs_chromium

VOID = {"meta", "link"}


class Page(HTMLParser):
    """What a browser sees: elements with their attributes, properly nested, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(html)
        self.close()
        assert self.open == [], "an element is never closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


def test_the_page_can_ask_for_nothing():
    html = page.page("a title", page.section("Here", "<p>words</p>"))
    seen = Page(html)
    assert [attributes["href"] for attributes in seen.all("link")] == ["data:,"]
    policy = next(attributes["content"] for attributes in seen.all("meta") if "http-equiv" in attributes)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_a_title_that_names_a_place_of_the_page_stays_what_it_is():
    html = page.page("{body} {style} \\1", "the body")
    assert "<title>{body} {style} \\1</title>" in html
    assert html.count("the body") == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a < b & 'c' \"d\"", "a &lt; b &amp; &#x27;c&#x27; &quot;d&quot;"),
        ("\x00\u202egnp.exe", "\ufffd\ufffdgnp.exe"),
        ("two\nlines", "two\nlines"),
        (12, "12"),
    ],
)
def test_what_others_wrote_is_text(value, shown):
    assert page.safe(value) == shown


def test_an_empty_name_can_be_seen_and_none_turns_its_neighbours():
    assert page.named("") == "<bdi>(empty)</bdi>"
    assert page.named("<b>") == "<bdi>&lt;b&gt;</bdi>"


def test_a_table_has_a_caption_and_heads():
    seen = Page(page.table(("A", "B"), [f"<tr><th scope=row>x</th>{page.number('1')}</tr>"], "<All>", numbers=(1,)))
    assert [attributes["scope"] for attributes in seen.all("th")] == ["col", "col", "row"]
    assert seen.all("th")[1]["class"] == seen.all("td")[0]["class"] == "number"
    assert seen.all("div") == [{"class": "scroll", "role": "region", "aria-label": "<All>", "tabindex": "0"}]
    assert seen.text.startswith("<All>")


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_all_that_is_written_stands_out_from_what_is_behind_it(mode):
    """By the contrast that WCAG 2 asks for (AA): 4.5 for text, 3 for pictures."""
    style = page.page("", "")
    colours = {name: found[mode] for name in set(re.findall(r"--([\w-]+):", style)) if (found := values(style, name))}
    texts = [("ink", "page"), ("ink", "paper"), ("muted", "page"), ("muted", "paper")]
    texts += [(status, f"{status}-back") for status in ("ok", "warning", "failed", "skipped")]
    pieces = [f"c{name}" for name in (*range(page.COLOURS), "x")]
    texts += [("inside", piece) for piece in pieces]
    assert {pair: contrast(*(colours[name] for name in pair)) for pair in texts if low(colours, pair, 4.5)} == {}
    drawn = [(name, "paper") for name in (*pieces, "bar")]
    assert {pair: contrast(*(colours[name] for name in pair)) for pair in drawn if low(colours, pair, 3)} == {}


def values(style, name):
    return re.findall(rf"--{name}: (#[0-9a-f]{{6}})", style)


def low(colours, pair, least):
    return contrast(colours[pair[0]], colours[pair[1]]) < least


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [byte / 255 for byte in bytes.fromhex(colour[1:])]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.slow
@needs_chromium
def test_the_policy_ends_requests_that_a_browser_would_make(tmp_path):
    """The same page without its policy is the proof that requests would be seen."""
    smuggled = (
        '<img src="http://elsewhere.example/x"><img src="http://localhost/x"><script src="https://other.example/y">'
    )
    held = page.page("A page", f"{smuggled}</script>")
    pages = {"held": held, "free": re.sub(r"<meta http-equiv.*?>", "", held)}
    asked = {}
    for name, html in pages.items():
        file = tmp_path / f"{name}.html"
        file.write_text(html)
        with Browser(tmp_path / name) as browser:
            assert "elsewhere.example" in browser.content(file)
            asked[name] = browser.asked
    assert asked == {"held": set(), "free": {"elsewhere.example", "localhost", "other.example"}}
