"""`dlops resume RUN`: go on where a run was interrupted, in a new run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dlops.cli import console, options
from dlops.cli.cancel import RunId
from dlops.cli.launching import launch
from dlops.cli.options import Common, Overrides, with_common

if TYPE_CHECKING:
    from dlops.project.pipeline.asked import Asked
    from dlops.project.plan import Request


@partial(with_common, without=("config",))
def resume(run: RunId, overrides: Overrides = None, *, common: Common) -> None:
    """Go on where a run failed or was ended, in a new run: from its last checkpoint, or with a pipeline's next step."""

    def asked() -> Request | Asked:
        from dlops.project import plan
        from dlops.project.pipeline import again as pipelines
        from dlops.project.resume import PIPELINE, again, changed
        from dlops.project.runs import Runs

        runs = Runs(plan.tracking_uri(common.tracking_uri))
        interrupted = runs.one(run)
        stated = options.request("", overrides, common)
        is_pipeline = interrupted.step == PIPELINE
        request = (pipelines.resumed if is_pipeline else again)(runs, interrupted, stated)
        if now := changed(interrupted, request.uri, request.version, request.diff):
            then, here = (console.commit(state.commit, state.dirty) for state in (interrupted, now))
            console.err().print(f"note: The run was launched from {then}, the project is at {here}.", highlight=False)
        return request

    launch(asked, common)
