"""A dry run checks what its target checks, and starts nothing."""

from __future__ import annotations

from dlops.targets.dry_run import DryRun
from dlops.targets.local import Local
from dlops.worker.job import Job
from tests.targets.here import quietly


def job(tmp_path, **fields):
    texts = dict.fromkeys(("step", "entry_point", "target", "experiment"), "x")
    return Job(
        **{
            **texts,
            **{"command": f"touch {tmp_path}/ran", "folder": str(tmp_path)},
            **{"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"},
            **fields,
        }
    )


def test_nothing_is_started_and_nothing_created(tmp_path):
    dry = DryRun(Local())
    launched = dry.start(job(tmp_path), quietly)
    launched.terminate()
    assert [event["event"] for event in launched.events()] == ["planned"]
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_the_real_one_would(tmp_path):
    wrong = job(tmp_path, tracking_uri=f"sqlite:///{tmp_path}")
    assert DryRun(Local()).name == "local"
    assert DryRun(Local()).problems(job(tmp_path)) == []
    assert DryRun(Local()).problems(wrong) == Local().problems(wrong) != []
