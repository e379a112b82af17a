"""`dlops version`."""

from __future__ import annotations

import json

from dlops import __version__


def test_as_text_and_as_a_document(typed):
    assert typed("version")[0] == f"{__version__}\n"
    assert json.loads(typed("version", "--json")[0]) == {"dlops": __version__}
