"""Languages are told from texts that are long enough."""

from __future__ import annotations

import pytest

from dlops.data import languages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("this film was a great pleasure to watch", "en"),
        ("dieser Film war leider eine große Enttäuschung", "de"),
        ("1234567890 !!! good", None),
        ("", None),
    ],
)
def test_a_language_is_told_where_there_are_letters_enough(text, expected):
    assert languages.of(text) == expected
