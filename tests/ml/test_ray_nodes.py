"""Nodes that train together: who starts them; on a real cluster in `tests/e2e/test_targets.py`."""

from __future__ import annotations

import sys

import pytest

from dlops.errors import UsageError
from dlops.ml import ray_nodes


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    for name in ("RAY_ADDRESS", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_one_node_is_this_one():
    with ray_nodes.joined(1, gpus=0):
        assert "NODE_RANK" not in ray_nodes.os.environ


def test_nodes_that_somebody_started_are_left_to_them(monkeypatch):
    monkeypatch.setenv("NODE_RANK", "1")
    with ray_nodes.joined(2, gpus=0):
        assert ray_nodes.os.environ["NODE_RANK"] == "1"


def test_nodes_that_nobody_starts_are_refused_and_not_waited_for():
    with (
        pytest.raises(UsageError, match="nodes=2 needs somebody who starts the step") as caught,
        ray_nodes.joined(2, gpus=0),
    ):
        pass
    assert "--on NAME" in caught.value.hint


def test_the_step_of_another_node_fails_as_it_would_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "of_a_node.py").write_text(
        "import os, sys\nsys.exit(int(sys.argv[1]) if os.environ['OF_NODE'] else 9)\n"
    )
    argv = list(sys.argv)
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setenv("OF_NODE", "")
    ray_nodes._step("of_a_node", ["0"], {"OF_NODE": "x"})
    with pytest.raises(RuntimeError, match="the step ended with status 3 on "):
        ray_nodes._step("of_a_node", ["3"], {"OF_NODE": "x"})
