"""`dlops rerun RUN`: do once more what a run did, in a new run."""

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
    from dlops.project.runs import Run, Runs


@partial(with_common, without=("config",))
def rerun(run: RunId, overrides: Overrides = None, *, common: Common) -> None:
    """Launch a run again from the start: same commit and changes, same parameters, same environment, same target."""

    def asked() -> Request | Asked:
        from dlops.project import plan
        from dlops.project.runs import Runs

        runs = Runs(plan.tracking_uri(common.tracking_uri))
        return same_again(runs, runs.one(run), options.request("", overrides, common))

    launch(asked, common)


def same_again(runs: Runs, before: Run, stated: Request) -> Request | Asked:
    """Ask for what a run did, a step or a pipeline, and say what of it cannot be had again."""
    from dlops.project.pipeline import again as pipelines
    from dlops.project.rerun import again, notes
    from dlops.project.resume import PIPELINE

    if before.step == PIPELINE:
        return pipelines.rerun_of(runs, before, stated)
    request = again(runs, before, stated)
    for note in notes(before, request):
        console.err().print(f"note: {note}", highlight=False)
    return request
