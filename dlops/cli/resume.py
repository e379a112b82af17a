"""`dlops resume RUN`: go on where a run was interrupted, in a new run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dlops.cli import console, options
from dlops.cli.cancel import RunId
from dlops.cli.launching import launch
from dlops.cli.options import Common, Overrides, with_common

if TYPE_CHECKING:
    from dlops.project.plan import Request


@partial(with_common, without=("config",))
def resume(run: RunId, overrides: Overrides = None, *, common: Common) -> None:
    """Go on from the last checkpoint of a run that failed or was ended, in a new run with the same parameters."""

    def asked() -> Request:
        from dlops.project import plan
        from dlops.project.resume import again, changed
        from dlops.project.runs import Runs

        runs = Runs(plan.tracking_uri(common.tracking_uri))
        interrupted = runs.one(run)
        request = again(runs, interrupted, options.request("", overrides, common))
        if now := changed(interrupted, request.uri, request.version):
            then, here = (console.commit(state.commit, state.dirty) for state in (interrupted, now))
            console.err().print(f"note: The run was launched from {then}, the project is at {here}.", highlight=False)
        return request

    launch(asked, common)
