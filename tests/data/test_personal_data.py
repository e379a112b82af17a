from __future__ import annotations

import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.data import personal_data
from dlops.data.personal_data import KINDS, PersonalData, holds


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to ada.lovelace+x@mail.example.org.", ("email",)),
        ("a@b, @home, 5 @ 3, me@localhost", ()),
        ("call +49 30 901820 or so", ("phone",)),
        ("call (030) 9018-2000", ("phone",)),
        ("call 555-867-5309!", ("phone",)),
        ("call 0171/2345678", ("phone",)),
        ("from 1999-2004, 10/10, 12,000,000 or 2001-09-11 at 20.15", ()),
        ("paid with 4111 1111 1111 1111", ("card",)),
        ("paid with 4111-1111-1111-1111.", ("card",)),
        ("paid with 5555555555554444 then", ("card",)),
        ("no card: 4111 1111 1111 1112", ()),
        ("to DE89 3704 0044 0532 0130 00 please", ("iban",)),
        ("to GB82WEST12345698765432", ("iban",)),
        ("to DE88 3704 0044 0532 0130 00 please", ()),
        ("host 192.168.17.23 is down", ("ip",)),
        ("host 2001:db8:85a3:8d3:1319:8a2e:370:7348", ("ip",)),
        ("version 1.2.3.4, localhost 127.0.0.1, 300.1.2.3, 12:30:45", ()),
        ("number 078-05-1120 it was", ("social_security",)),
        ("number 000-12-3456, 900-12-3456", ()),
        ("nothing at all", ()),
    ],
)
def test_what_is_found_and_what_is_not(text, kinds):
    assert holds(text) == kinds
    seen = PersonalData()
    seen.add(table([text, "nothing", None]))
    assert {kind for kind, count in seen.kinds.items() if count} == set(kinds)
    assert seen.ids == (["0" * 16] if kinds else [])


def test_texts_are_counted_not_hits():
    seen = PersonalData()
    seen.add(table(["a@b.org, c@d.org, 078-05-1120", "e@f.org", "none"]))
    seen.add(table(["g@h.org"]))
    assert (seen.rows_checked, seen.rows, seen.kinds["email"], seen.kinds["social_security"]) == (4, 3, 3, 1)
    assert not seen.sampled


def test_the_pair_counts_too():
    seen = PersonalData()
    seen.add(table(["none", "a@b.org"]).append_column("text_pair", pa.array(["c@d.org", "e@f.org"])))
    assert seen.kinds["email"] == seen.rows == 2


def test_only_the_first_rows_are_looked_at_and_it_says_so():
    seen = PersonalData()
    seen.add(table(["a@b.org"] * 5), rows=3)
    assert (seen.rows_checked, seen.rows, seen.sampled) == (3, 3, True)


@given(st.text(alphabet="0123456789 .-@:+()/aAF", max_size=60))
def test_the_search_for_suspects_misses_nothing(text):
    seen = PersonalData()
    seen.add(table([text]))
    assert {kind for kind, count in seen.kinds.items() if count} == set(holds(text))


@pytest.mark.parametrize("part", ["1 ", "12-", "a.", "a@", "+1", "(0", "1:", "1.", "DE89 ", "0123 "])
def test_a_hostile_text_takes_no_longer_than_its_length(part):
    begun = time.process_time()
    holds(part * (200_000 // len(part)))
    assert time.process_time() - begun < 5


def test_every_kind_has_a_name():
    assert set(PersonalData().kinds) == set(KINDS)
    assert personal_data.ROWS == 20_000


def table(texts):
    return pa.table({"id": [f"{place:016x}" for place in range(len(texts))], "text": pa.array(texts, pa.string())})
