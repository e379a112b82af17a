"""What the tests of the search share: a search of a stand-in objective in a store of the test's own."""

from __future__ import annotations

import json

import mlflow
import pytest

from dlops.config import space
from dlops.ml.search import asked, schedulers
from dlops.ml.search.children import Children
from dlops.ml.search.search import Search
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.study import Study
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Tune
from tests.ml.conftest import run, tiny_model

__all__ = ["run", "tiny_model"]

SPACE = {"head_learning_rate": {"loguniform": ["1e-4", "1e-1"]}, "batch_size": {"choice": ["8", "16", "32"]}}


def studied(settings: Tune) -> Study:
    """Give the study that the settings ask for."""
    searched, points = asked.read(settings)
    fixed = asked.fixed(settings)
    return Study(searched, asked.KNOWN, fixed, points, search=settings.search, seed=settings.seed)


def tuned(axes=None, **given) -> Tune:
    return Tune(**{"space": json.dumps(axes or SPACE), "strategy": "freeze", "scheduler": "none", **given})


def begun(settings: Tune, resume: str = "", **others) -> Search:
    """Begin a search below the open run."""
    children = Children(mlflow.active_run().info.run_id, asked.fixed(settings))
    before = children.resume(resume) if resume else []
    return Search(
        studied(settings),
        schedulers.of(settings, settings.epochs),
        Stopping(settings),
        children,
        before=before,
        **others,
    )


def trial(number=0, scores=(), status="finished", **values) -> Trial:
    return Trial(number, {name: str(value) for name, value in values.items()}, status=status, scores=list(scores))


def parsed(**axes) -> space.Space:
    problems: list[str] = []
    found = space.parse(json.dumps(axes), asked.KNOWN, problems)
    assert problems == []
    return found


@pytest.fixture
def store(run):
    """A client of the store that the open run is in."""
    return mlflow.MlflowClient()
