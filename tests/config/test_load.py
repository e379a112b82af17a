"""Layers, weakest first; relative paths against whoever wrote them; every problem at once."""

from __future__ import annotations

import pytest

from dlops.config import load
from dlops.config.parameters import Parameter
from dlops.errors import ConfigError, UsageError

EPOCHS = Parameter(name="epochs", type="int", default="2", minimum=1)
RATE = Parameter(name="learning_rate", type="float", default="2e-05")
NAME = Parameter(name="name", default="")
DATA = Parameter(name="data", type="path", description="What is read.")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project beside the caller's own folder."""
    for folder in ("here", "project/configs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def resolve(place, *parameters, step="finetune", files=(), environ=None, **given):
    found = load.resolve(
        parameters, step=step, project=place / "project", files=files, environ=environ or {}, given=given
    )
    return {setting.parameter.name: (setting.value, setting.layer) for setting in found}


def config(place, text, name="c.yaml"):
    file = place / name
    file.write_text(text)
    return file


def test_the_strongest_layer_wins(place):
    own, extra = config(place, "# c\nepochs: 3\n"), config(place, "epochs: 4", "d.yaml")
    environ = {"DLOPS_FINETUNE_EPOCHS": "5"}
    assert resolve(place, EPOCHS) == {"epochs": ("2", "MLproject")}
    assert resolve(place, EPOCHS, files=[own]) == {"epochs": ("3", f"{own}:2")}
    assert resolve(place, EPOCHS, files=[own, extra]) == {"epochs": ("4", f"{extra}:1")}
    assert resolve(place, EPOCHS, files=[own, extra], environ=environ) == {
        "epochs": ("5", "environment DLOPS_FINETUNE_EPOCHS")
    }
    assert resolve(place, EPOCHS, files=[own], environ=environ, epochs="6") == {"epochs": ("6", "command line")}


def test_a_layer_takes_one_value_and_leaves_the_others(place):
    found = resolve(place, EPOCHS, RATE, files=[config(place, "learning_rate: 1e-3")], epochs="9")
    assert [value for value, _ in found.values()] == ["9", "0.001"]


def test_a_file_says_what_the_command_line_would(place):
    file = config(place, "name: 1.10\nepochs: 010\n")
    assert resolve(place, NAME, EPOCHS, files=[file]) == resolve_values(file, name="1.10", epochs="10")
    for text in ("yes", "2026-01-31T00:00:00Z", "12:30", "0x1F"):
        assert resolve(place, NAME, files=[config(place, f"name: {text}")])["name"][0] == text


def resolve_values(file, **values):
    return {name: (value, f"{file}:{line}") for line, (name, value) in enumerate(values.items(), 1)}


def test_null_in_a_file_takes_a_value_away(place):
    assert resolve(place, NAME, files=[config(place, "name: x")])["name"][0] == "x"
    with pytest.raises(ConfigError, match="'epochs' needs a value"):
        resolve(place, EPOCHS, files=[config(place, "epochs: null")])


def test_every_problem_at_once_with_the_nearest_name(place):
    first, broken = config(place, "epchs: 3\nlearning_rate: fast\n"), config(place, "a: [", "broken.yaml")
    with pytest.raises(UsageError) as caught:
        resolve(
            place,
            *(EPOCHS, RATE, DATA),
            files=[first, broken],
            environ={"DLOPS_FINETUNE_EPOCHZ": "1", "DLOPS_FINETUNE_EPOCHS": "0"},
            strtegy="x",
        )
    text = str(caught.value)
    for piece in (
        f"{first}:1: 'epchs' is no parameter of this entry point; did you mean 'epochs'?",
        f"{first}:2: 'learning_rate' takes a number, not 'fast'",
        f"{broken}:1 is not valid YAML",
        "environment DLOPS_FINETUNE_EPOCHZ: 'epochz'",
        "environment DLOPS_FINETUNE_EPOCHS: 'epochs' must be at least 1, not 0",
        "command line: 'strtegy' is no parameter of this entry point; it has epochs, learning_rate, data",
        "'data' needs a value: data=… (What is read)",
    ):
        assert piece in text
    assert len(caught.value.problems) == 7


def test_only_files_wrong_is_a_config_error(place):
    with pytest.raises(ConfigError):
        resolve(place, EPOCHS, files=[config(place, "epochs: x")])


def test_an_entry_point_without_parameters_says_so(place):
    with pytest.raises(UsageError, match="it has none"):
        resolve(place, a="1")


@pytest.mark.parametrize("kind", ["path", "location"])
def test_a_relative_path_is_the_writers(place, kind):
    for folder in ("here", "project", "project/configs"):
        (place / folder / "a.csv").touch()
    parameter = Parameter(name="data", type=kind, default="./a.csv")
    file = config(place, "data: ./a.csv", "project/configs/finetune.yaml")
    assert resolve(place, parameter)["data"][0] == str(place / "project/a.csv")
    assert resolve(place, parameter, files=[file])["data"][0] == str(place / "project/configs/a.csv")
    assert resolve(place, parameter, data="./a.csv")["data"][0] == str(place / "here/a.csv")
    environ = {"DLOPS_FINETUNE_DATA": "a.csv"}
    assert resolve(place, parameter, environ=environ)["data"][0] == str(place / "here/a.csv")


def test_names_with_dashes_are_reached_by_every_spelling(place):
    parameter = Parameter(name="training-data", default="")
    for given in ({"training-data": "x"}, {"training_data": "x"}):
        assert resolve(place, parameter, **given)["training-data"][0] == "x"
    found = resolve(place, parameter, step="fine-tune", environ={"DLOPS_FINE_TUNE_TRAINING_DATA": "x"})
    assert found["training-data"][0] == "x"


def test_of_two_names_a_dash_apart_the_exact_one_is_meant(place):
    found = resolve(place, Parameter(name="a-b", default=""), Parameter(name="a_b", default=""), a_b="1")
    assert (found["a-b"][0], found["a_b"][0]) == ("", "1")


def test_an_empty_text_leaves_an_optional_out(place):
    optional = Parameter(name="rows", type="int", default="")
    assert resolve(place, optional, rows="")["rows"] == ("", "command line")


def test_another_steps_variables_do_not_matter(place):
    environ = {"DLOPS_INGEST_X": "1", "DLOPS_HOME": "/x", "DLOPS_FINETUNE": "y"}
    assert resolve(place, EPOCHS, environ=environ)["epochs"][0] == "2"


def stated(place, values, **more):
    fields = {"step": "finetune", "project": place / "project", "files": [], "environ": {}, "given": {}}
    found = load.resolve(
        (EPOCHS, DATA), stated=[load.Stated(values, "run.yaml:3", place / "project/configs")], **{**fields, **more}
    )
    return {setting.parameter.name: (setting.value, setting.layer) for setting in found}


def test_what_a_pipeline_states_is_above_the_files_and_below_the_shell(place):
    own = config(place, "epochs: 3")
    (place / "project/configs/a.csv").write_text("")
    values = {"epochs": "5", "data": "a.csv"}
    found = stated(place, values, files=[own])
    assert found["epochs"] == ("5", "run.yaml:3")
    assert found["data"][0] == str(place / "project/configs/a.csv"), "relative to the pipeline's own folder"
    assert stated(place, values, environ={"DLOPS_FINETUNE_EPOCHS": "6"})["epochs"][0] == "6"
    assert stated(place, values, given={"epochs": "7"})["epochs"][0] == "7"
    with pytest.raises(ConfigError) as caught:
        stated(place, {"data": "a.csv", "epoch": "1"})
    assert caught.value.problems[0].startswith("run.yaml:3: 'epoch' is no parameter")


def test_what_is_known_later_is_empty_and_asked_of_nobody(place):
    assert stated(place, {"epochs": ""}, later={"epochs", "data"}) == {
        "epochs": ("", "known later"),
        "data": ("", "known later"),
    }
