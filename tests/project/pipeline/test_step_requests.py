"""The launch of a step asks for what is known, and says what comes later."""

from __future__ import annotations

from dlops.project.pipeline import step_requests
from dlops.project.pipeline.results import Result


def asked_for(planner, known, **options):
    step = planner.pipeline.steps["two"]
    return step_requests.request(planner.asked, planner.pipeline, step, known, **options)


def test_what_another_step_gives_comes_later(planner):
    request = asked_for(planner(given={"two": {"k": "9"}}), {})
    assert (request.later, request.given, request.step) == ({"x"}, {"k": "9"}, "two")
    assert request.stated[0].values == {"x": ""}


def test_what_is_known_is_filled_in_unless_all_is_to_come_later(planner):
    known = {"one": Result(run_id="1", outputs={"x": "X"})}
    assert asked_for(planner(), known).stated[0].values == {"x": "X"}
    assert asked_for(planner(), known, everything_later=True).later == {"x"}


def test_where_it_runs_and_where_it_is_recorded(planner, folder):
    request = asked_for(planner(targets={"": "gpu"}, experiment="toy"), {})
    assert (request.target, request.experiment, request.uri) == ("gpu", "toy", str(folder))
    assert asked_for(planner(targets={"": "gpu", "two": "local"}), {}).target == "local"
