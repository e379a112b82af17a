"""Imports what a client of the tracking store needs, for a process that will want one (`ahead:` of an entry point)."""

from __future__ import annotations

import os

from dlops.worker import tracking

tracking.load(os.environ.get("MLFLOW_TRACKING_URI", ""))
