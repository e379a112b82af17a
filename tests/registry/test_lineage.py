"""From a version back to what it was made from, and forward to what came of it."""

from __future__ import annotations

import mlflow
import pytest

from dlops.errors import UsageError
from dlops.registry import lineage


@pytest.fixture
def found_by_the_registry(uri):
    """The registry looks for models in the store that MLflow has chosen, whatever its own is."""
    mlflow.set_tracking_uri(uri)
    yield
    mlflow.set_tracking_uri(None)


def test_a_model_is_followed_both_ways(films, found_by_the_registry):
    first = films.create_run("0", tags={"dlops.step": "finetune"}).info.run_id
    base = films.create_logged_model("0", name="model", source_run_id=first)
    second = films.create_run("0", tags={"dlops.step": "finetune", "dlops.resolved.model": base.model_uri}).info.run_id
    tuned = films.create_logged_model("0", name="model", source_run_id=second)
    films.set_tag(second, "dlops.output.model", tuned.model_uri)
    judged = films.create_run("0", tags={"dlops.step": "evaluate", "dlops.resolved.model": tuned.model_uri})
    films.create_model_version("films", source=tuned.model_uri, model_id=tuned.model_id)

    found = lineage.of(films, "models:/films/4")
    (model,) = found.root.after
    (run,) = model.after
    assert (model.name, run.name) == (tuned.model_uri, second)
    assert [node.name for node in run.after] == [base.model_uri]
    assert [node.name for node in run.after[0].after] == [first]
    assert [node.name for node in found.uses] == [judged.info.run_id]
    assert lineage.of(films, f"runs:/{second}/model").root == model
    uses = {node.name for node in lineage.of(films, tuned.model_uri).uses}
    assert uses == {"models:/films/4", judged.info.run_id}
    assert {node.name for node in lineage.of(films, base.model_uri).uses} == {second}


def test_no_such_thing(films):
    for reference in ("models:/m-0", "0" * 32, "runs:/0/model"):
        with pytest.raises(UsageError):
            lineage.of(films, reference)
