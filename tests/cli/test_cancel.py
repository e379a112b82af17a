"""`dlops cancel`: refuses what is not running."""

from __future__ import annotations

import json


def test_a_run_that_ended_cannot_be_cancelled(looking, recorded):
    run_id = recorded[1]["run_id"]
    assert looking.json("cancel", run_id, exit_code=2)["error"] == {
        **{"kind": "usage", "message": f"Run {run_id} is not running: it is FINISHED.", "hint": ""}
    }


def test_which_run_must_be_said(typed):
    assert "RUN" in typed("cancel", exit_code=2)[1]
    assert json.loads(typed("cancel", "--json", exit_code=2)[0])["error"]["kind"] == "usage"
