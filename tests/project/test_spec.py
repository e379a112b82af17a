"""The contract: read as stock MLflow reads it, checked where stock MLflow is silent."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlops.config.parameters import Parameter
from dlops.errors import ConfigError, UsageError
from dlops.project import spec
from dlops.project.spec import EntryPoint

SHELL_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@pytest.fixture
def load(tmp_path):
    def of(text, name="MLproject", **files):
        (tmp_path / name).write_text(text)
        for file, content in files.items():
            (tmp_path / file).write_text(content)
        return spec.load(tmp_path)

    return of


def filled(command, **values):
    return EntryPoint("x", command).fill({name: shlex.quote(value) for name, value in values.items()})


@settings(max_examples=25, deadline=None)
@given(st.lists(SHELL_TEXT, min_size=4, max_size=4))
def test_bash_gives_back_exactly_the_values(values):
    """Any text: quotes, dollars, newlines, backslashes, braces, a value that looks like another placeholder."""
    names = dict(zip("abcd", [*values[:3], values[3] + "{a}$HOME`id`"], strict=True))
    command = filled("printf '%s\\0' {a} --b={b} {c}{d} && true", **names)
    out = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout.decode()
    assert out.split("\0")[:-1] == [names["a"], f"--b={names['b']}", names["c"] + names["d"]]


@pytest.mark.parametrize(
    ("command", "becomes"),
    [
        ("echo {a}", "echo A"),
        ("echo {a}{a} ${HOME} ${a} $a", "echo AA ${HOME} ${a} $a"),
        ("awk '{{print $2}}' {a}", "awk '{print $2}' A"),
        ("awk '{print $2}' {a}", "awk '{print $2}' A"),
        ("echo ${{HOME}} ${{{a}}}", "echo ${HOME} ${A}"),
        ("echo ${HOME:-{a}", "echo ${HOME:-{a}"),
        ("for i in {1..3}; do echo {x,y}; done", "for i in {1..3}; do echo {x,y}; done"),
        ("--data {training-data}", "--data T"),
        ("f() { echo {a}; }", "f() { echo A; }"),
        ("echo {{a}} {{{a}}}", "echo {a} {A}"),
    ],
)
def test_braces_of_the_shell_and_of_the_contract(command, becomes):
    assert EntryPoint("x", command).fill({"a": "A", "training-data": "T"}) == becomes


@given(st.text(st.sampled_from("{}a$ 'x\"")))
def test_what_stock_mlflow_can_fill_is_filled_the_same(command):
    """Except for `${…}`, which stock MLflow takes for its own and fails on, or turns into a dollar and a value."""
    if "${a}" in command or "${{" in command:
        return
    try:
        expected = command.format(a="VALUE")
    except (KeyError, ValueError, IndexError):
        return
    assert EntryPoint("x", command).fill({"a": "VALUE"}) == expected


def test_a_placeholder_without_parameter_is_a_problem(load):
    with pytest.raises(ConfigError) as caught:
        load("entry_points: {a: {command: 'x {b} {c-d} ${e} {{f}}', parameters: {g: int}}}")
    assert "{b}" in str(caught.value)
    assert "{c-d}" in str(caught.value)
    assert "{e}" not in str(caught.value)
    assert len(caught.value.problems) == 2


def test_old_ways_of_writing_a_parameter(load):
    project = load("""
name: old
entry_points:
  main:
    parameters:
      data: path
      alpha: {type: float, default: 1e-1}
      flag: {default: True}
      layers: {default: [64, 32]}
      empty: {type: string, default: ""}
      needed: {type: string, default: null}
      bare:
      on: {type: Integer, default: 010}
    command: "python train.py"
""")
    found = {parameter.name: parameter for parameter in project.entry_points["main"].parameters}
    assert found["data"] == Parameter(name="data", type="path")
    assert {name: parameter.default for name, parameter in found.items()} == {
        **{"data": None, "alpha": "0.1", "flag": "True", "layers": "[64, 32]", "empty": ""},
        **{"needed": None, "bare": None, "on": "8"},
    }
    assert found["on"].type == "int"
    assert found["empty"].optional
    assert found["needed"].required


def test_our_own_additions(load):
    text = """
entry_points:
  finetune:
    parameters:
      strategy: {type: str, default: freeze, choices: [freeze, no_freeze], description: "What is
        trained."}
      epochs: {type: int, default: 2, minimum: 1, maximum: 1000}
    command: "x {strategy} {epochs}"
"""
    strategy, epochs = load(text).entry_points["finetune"].parameters
    assert (strategy.choices, strategy.description) == (("freeze", "no_freeze"), "What is trained.")
    assert (epochs.minimum, epochs.maximum) == (1, 1000)


def test_every_problem_of_a_file_at_once(load):
    with pytest.raises(ConfigError) as caught:
        load("""
conda_env: missing.yaml
entry_points:
  a: {parameters: {x: {type: int, default: one}, y: [1]}, command: "{z}"}
  b: {}
  c: words
  d: {command: x, parameters: {p: {choices: abc}, q: {minimum: low, maximum: yes}, r: {type: int, default: [1]}}}
""")
    text = str(caught.value)
    for piece in (
        "'missing.yaml', and there is no such file",
        "parameter 'x': its default takes a whole number, not 'one'",
        "parameter 'y': must hold KEY: VALUE lines",
        "uses {z}",
        "entry point 'b': needs a command",
        "entry point 'c': must hold KEY: VALUE lines, not 'words'",
        "parameter 'p': its choices must be a list, not 'abc'",
        "parameter 'q': its minimum must be a number, not 'low'",
        "parameter 'q': its maximum must be a number, not True",
        "parameter 'r': its default takes one int, not a list",
    ):
        assert piece in text


@pytest.mark.parametrize(
    ("text", "files", "found"),
    [
        ("conda_env: env/c.yaml", [], None),
        ("conda_env: c.yaml", ["c.yaml"], "c.yaml"),
        ("python_env: p.yaml", ["p.yaml", "conda.yaml"], "p.yaml"),
        ("name: x", ["conda.yaml", "python_env.yaml"], "python_env.yaml"),
        ("name: x", ["conda.yaml"], "conda.yaml"),
        ("conda_env:", ["conda.yaml"], "conda.yaml"),
        ("name: x", [], ""),
    ],
)
def test_which_file_is_the_environment(load, tmp_path, text, files, found):
    contents = dict.fromkeys(files, "dependencies: []\n")
    if found is None:
        with pytest.raises(ConfigError, match="no such file"):
            load(text, **contents)
        return
    assert load(text, **contents).environment_file == (tmp_path / found if found else None)


def test_docker_is_known_and_two_environments_are_one_too_many(load):
    assert load("docker_env: {image: x}").docker
    with pytest.raises(ConfigError, match="more than one environment: conda_env, docker_env"):
        load("docker_env: {image: x}\nconda_env: c.yaml")


@pytest.mark.parametrize("name", ["MLproject", "mlproject", "MLPROJECT"])
def test_the_case_of_the_file_does_not_matter(load, name):
    assert load("name: x", name=name).name == "x"


def test_a_package_called_mlproject_is_not_the_file(load, tmp_path):
    (tmp_path / "MLPROJECT").mkdir()
    assert load("name: x", name="mlproject").name == "x"


def test_without_the_file_it_is_no_project(tmp_path):
    with pytest.raises(ConfigError, match="has no MLproject") as caught:
        spec.load(tmp_path)
    assert "--uri" in caught.value.hint


def test_entry_points_by_name_script_or_nearly(load):
    project = load("entry_points: {finetune: {command: x}, 3: {command: y}}", **{"a {b}.py": "", "run.sh": ""})
    assert project.entry_point("finetune").command == "x"
    assert project.entry_point("3").command == "y"
    assert project.entry_point("run.sh").command == "bash run.sh"
    assert project.entry_point("a {b}.py").fill({}) == "python 'a {b}.py'"
    with pytest.raises(UsageError, match="did you mean 'finetune'") as caught:
        project.entry_point("fine_tune")
    assert "It has: finetune, 3" in caught.value.hint
    with pytest.raises(UsageError):
        project.entry_point("missing.py")


def test_what_a_step_gives_depends_on_and_whether_it_is_cached(load):
    text = """
entry_points:
  one: {command: "true", outputs: [x, y], depends: ["**/*.py"], cache: false}
  two: {command: "true", outputs: []}
  three: {command: "true"}
"""
    found = load(text).entry_points
    assert [(one.outputs, one.depends, one.cache) for one in found.values()] == [
        (("x", "y"), ("**/*.py",), False),
        ((), None, True),
        (None, None, True),
    ]


def test_mistakes_in_what_a_step_gives_are_told_at_once(load):
    with pytest.raises(ConfigError) as caught:
        load('entry_points: {one: {command: "true", outputs: x, depends: [1], cache: maybe}}')
    told = "\n".join(caught.value.problems)
    for expected in ("outputs is a list of names", "depends is a list of globs", "cache is true or false, not 'maybe'"):
        assert expected in told
