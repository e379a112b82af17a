"""What becomes of each step, and why, with what a real store remembers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlops.errors import ConfigError, UsageError
from dlops.project.pipeline.planning import Planner
from dlops.project.pipeline.results import Result


def states(planner):
    return {look.step.name: (look.state, look.why) for look in planner.all()}


@pytest.fixture
def done(planner, finish):
    """Record a pipeline that ran from its first step to its last, as it is now; give the run of each step."""

    def of(status="FINISHED", **asked):
        made, runs = planner(**asked), {}
        results = {}
        for step in made.pipeline.steps.values():
            look = made.look(step, results)
            given = {"x": "one-3"} if step.kind == "one" else {"y": f"{step.name}-y"}
            if look.result is None:
                last = step.name == list(made.pipeline.steps)[-1]
                runs[step.name] = finish(made, look, parent="p", status=status if last else "FINISHED", **given)
            results[step.name] = Result(
                run_id=look.result.run_id if look.result else runs[step.name], outputs=given, metrics={"m": 2.0}
            )
        return runs

    return of


def edit(folder, old, new, name="configs/run.yaml"):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


NEVER = "it has never finished here"


def test_where_nothing_has_run_all_will(planner):
    assert states(planner()) == {
        "one": ("will run", NEVER),
        "two": ("will run", NEVER),
        "three": ("unknown", "until two has run"),
    }


def test_a_store_that_does_not_exist_is_not_made(planner, folder):
    asked = planner().asked
    assert states(Planner(asked, asked.pipeline(folder), folder, None))["one"] == ("will run", NEVER)


def test_what_has_not_changed_is_cached(planner, done):
    runs = done()
    looks = {look.step.name: look for look in planner().all()}
    assert {name: (look.state, look.result.run_id) for name, look in looks.items()} == {
        name: ("cached", run) for name, run in runs.items()
    }
    document = looks["two"].document(planner().pipeline)
    assert (document["why"], document["needs"], document["run_id"]) == ("nothing has changed", ["one"], runs["two"])


def test_a_changed_parameter_is_named_and_what_follows_waits(planner, done, folder):
    done()
    edit(folder, "{n: 3}", "{n: 3, rate: 3e-5}")
    assert states(planner()) == {
        "one": ("will run", "rate 2e-05 → 3e-05"),
        "two": ("unknown", "until one has run"),
        "three": ("unknown", "until two has run"),
    }


def test_only_the_step_and_its_dependents_are_touched(planner, done, folder):
    done()
    edit(folder, "k: 5", "k: 6")
    assert states(planner()) == {
        "one": ("cached", "nothing has changed"),
        "two": ("cached", "nothing has changed"),
        "three": ("will run", "k 5 → 6"),
    }


def test_a_changed_file_is_named_in_every_step(planner, done, folder):
    done()
    edit(folder, "import os", "import os  # really", "steps.py")
    assert states(planner())["one"] == ("will run", "`steps.py` changed")
    assert states(planner())["two"] == ("will run", "`steps.py` changed"), "whatever one gives"


def test_a_file_that_no_step_depends_on_changes_nothing(planner, done, folder):
    edit(folder, "{n: 3}", "{n: 3}\n    depends: one/**")
    (folder / "one").mkdir()
    (folder / "one/old").write_text("")
    done()
    edit(folder, "import os", "import os  # really", "steps.py")
    assert states(planner())["one"][0] == "cached"
    assert states(planner())["two"] == ("will run", "`steps.py` changed"), "it depends on it by default"
    (folder / "one/new").write_text("")
    assert states(planner())["one"] == ("will run", "`one/new` came")


def test_the_command_is_an_ingredient(planner, done, folder):
    done()
    edit(folder, "steps one n={n}", "steps one  n={n}", "MLproject")
    assert states(planner())["one"] == ("will run", "its command in MLproject changed")
    assert states(planner())["two"][0] == "unknown", "its own command is as it was"


def test_data_is_told_by_content(planner, done, folder, tmp_path):
    data = tmp_path / "here/a.csv"
    data.write_text("1")
    edit(folder, "{n: 3}", f"{{source: {data}}}")
    done()
    assert states(planner())["one"][0] == "cached"
    data.rename(tmp_path / "here/b.csv")
    edit(folder, "a.csv", "b.csv")
    assert states(planner())["one"][0] == "cached", "the name is another"
    (tmp_path / "here/b.csv").write_text("2")
    assert states(planner())["one"][0] == "will run"
    assert states(planner())["one"][1].startswith("source ")


def test_data_that_is_not_there_lets_the_step_say_so(planner, folder):
    edit(folder, "{n: 3}", "{source: 'reviews@7'}")
    assert states(planner())["one"][0] == "will run"


def test_another_folder_with_the_same_files_finds_the_same(planner, done, folder, tmp_path):
    done()
    (tmp_path / "clone").mkdir()
    folder.rename(tmp_path / "clone/toy")
    folder = tmp_path / "clone/toy"
    (folder.parent.parent / "toy").symlink_to(folder)  # where the fixture reads its file
    asked = replace(planner().asked, uri=str(folder))
    assert {look.state for look in Planner(asked, asked.pipeline(folder), folder, planner()._store).all()} == {"cached"}


def test_a_damaged_output_lets_its_step_run_again(planner, finish, tmp_path):
    file = tmp_path / "here/answers.csv"
    file.write_text("1")
    made = planner()
    finish(made, made.look(made.pipeline.steps["one"], {}), x=str(file))
    assert states(planner())["one"][0] == "cached"
    file.write_text("2")
    assert states(planner())["one"] == ("will run", "its x is damaged: answers.csv is another")
    file.unlink()
    assert states(planner())["one"] == ("will run", f"its x is gone: {file} is not there")


def test_a_run_that_did_not_finish_is_nothing_to_take(planner, finish):
    made = planner()
    finish(made, made.look(made.pipeline.steps["one"], {}), status="FAILED", x="one-3")
    assert states(planner())["one"] == ("will run", NEVER)


def test_force_and_what_is_never_cached_run_again(planner, done, folder):
    edit(folder, "steps:", "steps:\n  serve: {}\n")
    edit(folder, "when:", "cache: false\n    when:")
    done()
    found = states(planner(force=("one",)))
    assert found["one"] == ("will run", "--force")
    assert found["serve"] == ("will run", "it is never taken from the cache")
    found = states(planner())
    assert found["two"][0] == "cached"
    assert found["three"] == ("will run", "it is never taken from the cache"), "the pipeline's word"
    edit(folder, "serve: {}", "serve: {cache: true}")
    assert states(planner())["serve"][0] == "cached", "it wins over MLproject's"


def test_what_is_not_chosen_is_taken_as_it_was(planner, done, folder):
    runs = done()
    edit(folder, "{n: 3}", "{n: 4}")
    looks = {look.step.name: look for look in planner(start="two").all()}
    assert (looks["one"].state, looks["one"].why) == ("taken", "as it was: n 3 → 4")
    assert looks["one"].result.run_id == runs["one"]
    assert looks["two"].state == "cached", "what it takes is as it was"
    found = states(planner(only=("one",)))
    assert (found["one"][0], found["two"], found["three"]) == (
        "will run",
        ("left out", "not asked for"),
        ("left out", "not asked for"),
    )
    assert states(planner(end="two"))["three"] == ("left out", "not asked for")


def test_what_never_ran_cannot_be_taken(planner):
    with pytest.raises(UsageError, match="one has never finished here") as caught:
        planner(start="two").all()
    assert "--from one" in caught.value.hint


def test_a_condition_that_does_not_hold_skips_the_step_and_what_needs_it(planner, done, folder):
    edit(folder, "m} >= 1", "m} >= 2.5")
    edit(folder, "  three:", "  last: {entry_point: one, needs: three}\n  three:")
    made = planner()
    results = {"one": Result(run_id="1", outputs={"x": "a"}), "two": Result(run_id="2", metrics={"m": 2.0})}
    assert made.look(made.pipeline.steps["three"], results).why == "2 >= 2.5 does not hold"
    results["two"] = Result(run_id="2", metrics={"m": 2.5}, outputs={"y": "a"})
    assert made.look(made.pipeline.steps["three"], results).state == "will run"


def test_skipped_steps_are_planned_as_such(planner, finish, folder):
    edit(folder, "m} >= 1", "m} > 2")
    edit(folder, "  three:", "  last: {entry_point: one, needs: three}\n  three:")
    made = planner()
    finish(made, made.look(made.pipeline.steps["one"], {}), x="one-3")
    result = {"one": Result(run_id="1", outputs={"x": "one-3"})}
    finish(made, made.look(made.pipeline.steps["two"], result), y="y")
    found = states(planner())
    assert found["three"] == ("skipped", "2 > 2 does not hold")
    assert found["last"] == ("skipped", "three is skipped")


def test_a_wrong_comparison_is_the_files_mistake(planner, folder):
    edit(folder, "m} >= 1", "y} >= 1")
    edit(folder, "${two.metrics.y}", "${two.y}")
    made = planner()
    with pytest.raises(ConfigError, match="not both numbers"):
        made.look(made.pipeline.steps["three"], {"two": Result(run_id="2", outputs={"y": "word"})})


def test_a_resumed_pipeline_takes_what_had_finished_even_if_it_is_forced(planner, done):
    runs = done(status="FAILED")
    assert states(planner(force=("one",)))["one"] == ("will run", "--force")
    client = planner()._store.client
    parent = client.create_run(planner()._store.experiment_id).info.run_id
    for run in runs.values():
        client.set_tag(run, "mlflow.parentRunId", parent)
    made = planner(force=("one",), resumed_from=parent)
    assert states(made)["one"] == ("cached", "it had finished")
    three = next(look for look in made.all() if look.step.name == "three")
    assert three.state == "will run"
    assert made.unfinished(three) == runs["three"], "it goes on from there"
    request = made.request(three, "parent", resumed=runs["three"])
    assert request.given["resume_from"] == runs["three"]
    assert request.tags.items() >= {"mlflow.parentRunId": "parent", "dlops.resumed_from": runs["three"]}.items()
    client.set_terminated(parent)


def test_what_nobody_can_tell_is_no_hit_but_what_had_finished_is_gone_on_with(planner, finish, folder, client):
    edit(folder, "{n: 3}", "{source: 'reviews@7'}")
    made = planner()
    look = made.look(made.pipeline.steps["one"], {})
    assert look.ingredients.uncertain == look.why != ""
    parent = client.create_run(made._store.experiment_id).info.run_id
    run = finish(made, look, parent=parent, x="one-3")
    assert states(planner())["one"] == ("will run", look.why)
    found = next(look for look in planner(resumed_from=parent).all() if look.step.name == "one")
    assert (found.state, found.result.run_id) == ("cached", run)
    client.set_terminated(parent)


def test_what_is_not_chosen_is_taken_from_the_run_that_is_named(planner, done, finish, folder):
    runs = done()
    edit(folder, "{n: 3}", "{n: 4}")
    made = planner()
    finish(made, made.look(made.pipeline.steps["one"], {}), x="one-4")
    looks = {look.step.name: look for look in planner(only=("two",), taken={"one": runs["one"]}).all()}
    assert (looks["one"].state, looks["one"].result.run_id) == ("taken", runs["one"])
