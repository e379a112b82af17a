from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.errors import ConfigError
from dlops.project.pipeline.asked import Asked
from dlops.project.pipeline.selection import Selection

WORDS = st.text(max_size=8)
ASKED = st.builds(
    Asked,
    steps=st.dictionaries(WORDS, st.fixed_dictionaries({"parameters": st.dictionaries(WORDS, WORDS)})),
    file=WORDS,
    base=WORDS,
    given=st.dictionaries(WORDS, st.dictionaries(WORDS, WORDS)),
    only=st.lists(WORDS).map(tuple),
    force=st.lists(WORDS).map(tuple),
    parallel=st.integers(0, 9),
    diff=WORDS,
)


@given(ASKED)
def test_it_travels_whole(asked):
    assert Asked.from_json(asked.to_json()) == asked


@pytest.mark.parametrize("text", ["x", "{}", json.dumps({"steps": {}, "file": "", "base": "", "newer": 1})])
def test_what_another_version_wrote_is_refused(text):
    with pytest.raises((TypeError, ValueError)):
        Asked.from_json(text)


def test_its_steps_are_read_from_where_the_project_lies(tmp_path):
    asked = Asked(steps={"a": {"needs": "b"}, "b": {}}, file="configs/run.yaml", base="configs", start="b")
    pipeline = asked.pipeline(tmp_path)
    assert (list(pipeline.steps), pipeline.base) == (["b", "a"], tmp_path / "configs")
    assert asked.selection == Selection(start="b")
    with pytest.raises(ConfigError, match="cannot be used"):
        dataclasses.replace(asked, steps={"a": {"needs": "b"}}).pipeline(tmp_path)
