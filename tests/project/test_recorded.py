"""What a run was launched with, asked for once more."""

from __future__ import annotations

import pytest

from dlops.errors import UsageError
from dlops.project import recorded
from tests.project.test_resume import Kept, run


def test_names_mean_what_they_stood_for_and_what_is_given_wins():
    then = run(resolved={"dataset": "/tables/t@3", "model": "tiny@abc", "other": "x"})
    found = recorded.values(Kept(dataset="t", model="tiny", epochs="2"), then, {"epochs": "5", "model": "big"}, "rerun")
    assert found == {"dataset": "/tables/t@3", "model": "big", "epochs": "5"}


def test_secrets_must_be_given_again_all_at_once():
    kept = Kept(api_key="***", uri="https://***@host/x", epochs="2")
    with pytest.raises(UsageError) as caught:
        recorded.values(kept, run(), {}, "rerun")
    assert caught.value.problems == ("'api_key' needs its value again", "'uri' needs its value again")
    assert caught.value.hint == "dlops rerun r api_key=… uri=…"
    assert recorded.values(kept, run(), {"api_key": "a", "uri": "b"}, "rerun")["api_key"] == "a"
