from __future__ import annotations

import csv
import json
import sys
import time
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlops.data import cleaning as module
from dlops.data.cleaning import FORMS, VERSION, Changes, Cleaning
from dlops.errors import DataError
from tests.conftest import REVIEWS, needs_reviews

NONE = Cleaning(html=False, unicode="none", whitespace=False)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Good.<br /><br />Really.", "Good. Really."),
        ("Good.<BR>Really<br/>.", "Good. Really ."),
        ("<p>One</p><p>two</p>", "One two"),
        ("<div class='a' id=\"b\">One</div>", "One"),
        ("<i>Jaws</i>'s shark", "Jaws's shark"),
        ("an <a href='x?a=1&b=2'>odd</a> link", "an odd link"),
        ("fish &amp; chips &lt;3", "fish & chips <3"),
        ("seen<!-- never <b> -->twice", "seentwice"),
        ("<style>p {a: b}</style>text<script type=x>if (a < b) go()</script >end", "text end"),
        ("<!DOCTYPE html><html>page</html>", "page"),
        ("a < b and c > d", "a < b and c > d"),
        ("I <3 you", "I <3 you"),
        ("x<y>z, 1<2, <unknown>, AT&T, a&b;", "x<y>z, 1<2, <unknown>, AT&T, a&b;"),
        ("cut off <br", "cut off <br"),
        ("<!-- never closed", "<!-- never closed"),
        ("twice &amp;lt;b&amp;gt; escaped", "twice escaped"),
        ("  two\t\tof\n\nthese \u00a0\u2003 ", "two of these"),
        ("\ufeffbell\x07 nul\x00l \x9f", "bell null"),
        ("<\x00br>x", "x"),
        ("cafe\u0301", "café"),
        ("e\x00\u0301", "é"),
        ("e&#769;", "é"),
        ("\ufb01ne", "\ufb01ne"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_what_becomes_of_a_text(raw, cleaned):
    assert Cleaning().text(raw) == cleaned
    assert Cleaning().texts([raw, raw]) == [cleaned, cleaned]


def test_each_switch_is_its_own():
    raw = " a<br>\ufb01  e\u0301 "
    assert NONE.text(raw) == raw
    assert Cleaning(html=True, unicode="none", whitespace=False).text(raw) == " a\n\ufb01  e\u0301 "
    assert Cleaning(html=False, unicode="NFC", whitespace=False).text(raw) == " a<br>\ufb01  \u00e9 "
    assert Cleaning(html=False, unicode="NFKC", whitespace=False).text(raw) == " a<br>fi  \u00e9 "
    assert Cleaning(html=False, unicode="none", whitespace=True).text(raw) == "a<br>\ufb01 e\u0301"


def test_what_a_normal_form_uncovers_goes_too():
    assert Cleaning(unicode="NFKC").text("a\uff1cbr\uff1eb") == "a b"


FRAGMENTS = [
    *(
        "<",
        ">",
        "<b",
        "<br>",
        "<br />",
        "</p>",
        "<p ",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<!x",
        "&",
        "&amp;",
        "amp;",
    ),
    *("lt;", "&lt;", "&gt;", "gt;", "b>", "&#60;", "&#0;", "&nbsp", "#", " ", "  ", "\n", "\t", "\x00", "\x1f", "\x85"),
    *("\xa0", "\ufeff", "\u0301", "e", "\u0338", "\uff1c", "\uff06", "\u200d", "\u2003", "\ufb01", "x", "\U0001f600"),
]
HOSTILE = st.one_of(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join), st.text(max_size=30))
CLEANINGS = st.builds(Cleaning, html=st.booleans(), unicode=st.sampled_from(FORMS), whitespace=st.booleans())


@given(CLEANINGS, st.lists(HOSTILE, max_size=6))
def test_cleaning_twice_is_cleaning_once_and_many_at_once_is_one_by_one(cleaning, raws):
    cleaned = [cleaning.text(raw) for raw in raws]
    assert [cleaning.text(text) for text in cleaned] == cleaned
    assert cleaning.texts(raws) == cleaned


@given(CLEANINGS, st.lists(HOSTILE, max_size=6))
def test_changes_are_counted_the_same_way_in_both(cleaning, raws):
    single, together = Changes(), Changes()
    cleaned = [cleaning.text(raw, single) for raw in raws]
    cleaning.texts(raws, together)
    assert single == together
    assert single.texts == len(raws)
    assert single.changed == sum(raw != text for raw, text in zip(raws, cleaned, strict=True))


LINES = st.sampled_from(
    [
        *("<br />", "<br>", "<br/>", "<br >", "<br", "<BR>", " <br />", "<br /> ", "<br /><br />", "<", "/>"),
        *(" ", "  ", "\n", "<b>", "&amp;", "é", "e\u0301", "\xa0", "\x00", "a", "word", "two words"),
    ]
)
PLAIN = st.sampled_from(["<br />", "<br>", "<br/>", "<br >", " ", "a", "é"])
LINED = st.lists(st.one_of(st.lists(PLAIN, max_size=8), st.lists(LINES, max_size=8)).map("".join), max_size=8)


@given(st.one_of(st.just(Cleaning()), CLEANINGS), LINED, st.integers(0, 3), st.integers(0, 8))
@settings(max_examples=300, deadline=None)
def test_a_column_is_cleaned_as_its_texts_are_one_by_one(cleaning, raws, start, length):
    single, together = Changes(), Changes()
    column = pa.array(raws, pa.string()).slice(start, length)
    cleaned = cleaning.column(column, together)
    cleaned.validate(full=True)
    assert cleaned.to_pylist() == [cleaning.text(raw, single) for raw in raws[start : start + length]]
    assert single == together
    assert column.to_pylist() == raws[start : start + length], "what was given stays"


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_no_letter_that_stays_joins_the_one_before_it(form):
    """The second parts of all composed letters there are, and the parts of Hangul syllables, are looked at."""
    pairs = [unicodedata.decomposition(chr(point)).split() for point in range(sys.maxunicode + 1)]
    seconds = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    hangul = {chr(point) for point in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    assert not [letter for letter in seconds | hangul if module._stays(letter, form, True)]
    letters = [chr(point) for point in range(128, sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    staying = "".join(letter for letter in letters if module._stays(letter, form, True))
    assert len(staying) > 100_000
    assert unicodedata.is_normalized(form, staying)
    assert staying.isprintable()


@pytest.mark.parametrize(
    "part", ["<b ", '<b "', "<!--", "<script>", "</", "&", "&amp;", "<<b>b>", "&am", "<br>", " ", "amp;&", "<!x", "&#1"]
)
def test_a_hostile_text_takes_no_longer_than_its_length(part):
    text = part * (1_000_000 // len(part))
    begun = time.process_time()
    once = Cleaning().text(text)
    assert time.process_time() - begun < 5
    assert Cleaning().text(once) == once


def test_nested_to_any_depth_it_settles():
    nested = "<" * 500 + "b>" * 500
    once = Cleaning().text(nested)
    assert Cleaning().text(once) == once


@given(
    st.builds(
        Cleaning,
        html=st.booleans(),
        unicode=st.sampled_from(FORMS),
        whitespace=st.booleans(),
        min_characters=st.integers(1, 9),
    )
)
def test_the_switches_survive_being_written_down(cleaning):
    assert Cleaning.from_dict(json.loads(json.dumps(cleaning.as_dict()))) == cleaning


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": VERSION + 1}, f"version {VERSION + 1}"),
        ({"version": None}, "version None"),
        ({"html": 1}, "'html'"),
        ({"lower": True}, "'lower'"),
        ({"unicode": "NFD"}, "'unicode'"),
    ],
)
def test_switches_of_another_dlops_are_refused(change, told):
    with pytest.raises(DataError, match=told):
        Cleaning.from_dict({**Cleaning().as_dict(), **change})


@needs_reviews
def test_the_reviews_lose_their_line_breaks():
    with REVIEWS.open(encoding="utf-8", newline="") as file:
        raws = [row["review"] for row in csv.DictReader(file)]
    changes = Changes()
    cleaned = Cleaning().texts(raws, changes)
    assert changes.html == sum("<br />" in raw for raw in raws) == 1468
    assert not any("<br" in text for text in cleaned)
    words = [[len(text.split()) for text in texts] for texts in (raws, cleaned)]
    assert [(min(counts), max(counts)) for counts in words] == [(11, 1737), (11, 1723)]
    assert changes.texts == 2500
