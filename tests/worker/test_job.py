"""A job arrives as it was sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.worker.job import Job

TEXT = st.text()
NEEDED = dict.fromkeys(("step", "entry_point", "target", "command", "folder", "tracking_uri", "experiment"), TEXT)
TEXTS = st.dictionaries(TEXT, TEXT)


@given(
    st.builds(
        Job,
        **NEEDED,
        params=TEXTS,
        tags=TEXTS,
        downloads=TEXTS,
        given=TEXT,
        path=st.lists(TEXT).map(tuple),
        secrets=st.lists(TEXT).map(tuple),
        grace=st.floats(0, 100),
    )
)
def test_there_and_back(job):
    assert Job.from_json(job.to_json()) == job


def test_a_file_name_that_is_no_text_travels():
    job = Job(**{**dict.fromkeys(NEEDED, "x"), "folder": "/caf\udce9"})
    assert Job.from_json(job.to_json().encode().decode()) == job


def test_another_versions_job_is_refused():
    text = json.dumps({**dict.fromkeys(NEEDED, "x"), "colour": "red"})
    with pytest.raises(TypeError, match="colour"):
        Job.from_json(text)
