from __future__ import annotations

import pytest

from dlops.ml.search import pictures
from tests.ml.search.conftest import trial

TRIALS = [
    trial(0, [0.5, 0.6], head_learning_rate=1e-3, strategy="freeze"),
    trial(1, [0.4], status="pruned", head_learning_rate=1e-1, strategy="lora", lora_rank=4),
    trial(2, [], status="failed", head_learning_rate=1e-2, strategy="lora", lora_rank=4),
    trial(3, [0.8], head_learning_rate=3e-2, strategy="lora", lora_rank=4),
]


def drawn(figure, tmp_path):
    figure.savefig(tmp_path / "picture.png")
    return figure.axes[0]


def test_the_history_tells_the_best_so_far(tmp_path):
    axes = drawn(pictures.history(TRIALS, "films"), tmp_path)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["finished", "ended early", "failed", "best so far"]
    (line,) = [line for line in axes.lines if line.get_label() == "best so far"]
    assert list(line.get_ydata()) == [0.6, 0.8]


def test_importance_is_drawn_with_the_most_decisive_on_top(tmp_path):
    axes = drawn(pictures.importance({"a": 0.2, "b": 0.8}, "films"), tmp_path)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    assert [bar.get_width() for bar in axes.patches] == [0.2, 0.8]


def test_parallel_coordinates_have_a_line_for_each_trial_with_a_score(tmp_path):
    axes = drawn(pictures.parallel(TRIALS, "films"), tmp_path)
    assert len(axes.lines) == 3
    assert [line.get_linewidth() > 2 for line in axes.lines] == [False, False, True], "the best one"
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        *("head_learning_rate", "strategy", "lora_rank", "val score")
    ]
    best = axes.lines[-1].get_ydata()
    assert best[-1] == 1.0
    assert best[0] == pytest.approx(0.739, abs=0.01), "rates far apart are placed by their logarithm"


def test_one_trial_is_a_picture_too(tmp_path):
    drawn(pictures.parallel(TRIALS[:1], "films"), tmp_path)
    drawn(pictures.history(TRIALS[2:3], "films"), tmp_path)
