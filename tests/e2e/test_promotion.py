"""The whole thread on real reviews: a better model takes the champion's place, and the worse one never."""

from __future__ import annotations

import pytest

from dlops.registry import aliases, versions
from tests.conftest import REVIEWS, needs_reviews
from tests.pipelines.conftest import preloaded, run, steps, tiny_model

__all__ = ["preloaded", "run", "steps", "tiny_model"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    needs_reviews,
]


def test_a_better_model_takes_the_champions_place_and_the_worse_one_never(steps):
    steps.run("ingest", f"source={REVIEWS}", f"table={steps.folder}/reviews", "splits=0.6,0.1,0.3")
    data = (f"dataset={steps.folder}/reviews", "max_length=128")

    def trained(*words):
        run, _ = steps.run("finetune", *data, *words)
        return f"runs:/{run.info.run_id}/model"

    poor = trained("strategy=freeze", "head=standard", "epochs=1")
    good = trained("strategy=no_freeze", "epochs=1")
    asked = ("name=reviews", data[0], "promote=true", "beat=better")
    steps.run("register", f"model={poor}", *asked)
    assert aliases.holder(steps.client, "reviews") == "1"
    run, _ = steps.run("evaluate", f"model={good}", "against=models:/reviews@champion", data[0])
    assert run.data.tags["dlops.output.verdict"] == "better"
    steps.run("register", f"model={good}", *asked)
    assert aliases.holder(steps.client, "reviews") == "2"
    assert aliases.rollback(steps.client, "reviews", by=aliases.person()).version == "1"
    aliases.promote(steps.client, "reviews", "2", instead_of="1", by=aliases.person())
    _, done = steps.run("register", f"model={poor}", "name=reviews", data[0], "promote=true", exit_code=3)
    assert "worse than models:/reviews/2" in done.stderr
    assert [one.version for one in versions.of(steps.client, "reviews")] == ["2", "1"]
