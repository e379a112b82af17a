"""A model's history as a page: nested as it was made, and nothing in it is run."""

from __future__ import annotations

from dlops.data import lineage_page


def test_names_are_text_and_nest_as_they_were_made():
    run = {
        "kind": "run",
        "name": "r<script>",
        "facts": {"step": "finetune"},
        "from": [{"kind": "code", "name": "c0ffee"}],
    }
    found = {"kind": "version", "name": "models:/films/1", "from": [run], "uses": [{"kind": "run", "name": "later"}]}
    page = lineage_page.html(found)
    assert "<script" not in page
    assert "r&lt;script&gt;" in page
    assert page.index("models:/films/1") < page.index("step: ") < page.index("c0ffee") < page.index("later")
