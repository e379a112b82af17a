"""The worker as a process of its own: a job in, events out, nothing else."""

from __future__ import annotations

import subprocess
import sys


def test_a_store_that_is_none_starts_nothing(work, tmp_path):
    (tmp_path / "file").touch()
    events = work("touch ran", tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    assert [event["event"] for event in events] == ["failed"]
    assert events[0]["kind"] == "unreachable"
    assert not (tmp_path / "ran").exists()


def test_what_is_no_job_is_refused_aloud():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dlops.worker"], input="no job", capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "JSONDecodeError" in done.stderr


def test_no_job_at_all_ends_it_in_silence():
    """Whoever started it ahead of a job is gone, or refused the job."""
    done = subprocess.run([sys.executable, "-P", "-m", "dlops.worker"], input="", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
