"""What a pipeline's worker imports before it is needed."""

from __future__ import annotations

import subprocess
import sys


def test_a_tracking_client_is_imported_and_no_store_is_opened(tmp_path):
    program = (
        "import sys, dlops.worker.warm;"
        "from dlops.worker import tracking; before = set(sys.modules); tracking.connect(sys.argv[1]);"
        "print('mlflow.tracking' in before, 'pandas' in before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "http://127.0.0.1:9"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]
    assert list(tmp_path.iterdir()) == [tmp_path / "home"] or not list(tmp_path.iterdir())
