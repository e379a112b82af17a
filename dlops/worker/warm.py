"""Imports what a tracking client needs, for a process that will want one (`ahead:` of an entry point)."""

from __future__ import annotations

from dlops.worker import tracking

tracking.load()
