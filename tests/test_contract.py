"""One word per step, the same everywhere; and MLproject says exactly what the steps' settings say."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from dlops.cli.main import COMMANDS
from dlops.config import schema
from dlops.config.parameters import Parameter
from dlops.ml import settings
from dlops.project import spec
from dlops.steps import STEPS

ROOT = Path(__file__).parents[1]
AHEAD = {
    "ingest": ["mlflow", "dlops.data.preparation"],
    "finetune": ["torch._dynamo", "mlflow", "dlops.ml.fine_tuning"],
    "tune": ["torch._dynamo", "mlflow", "dlops.ml.search.in_process"],
    "evaluate": ["torch._dynamo", "mlflow", "dlops.ml.judging"],
    "explain": ["mlflow", "dlops.ml.explaining"],
    "register": ["mlflow", "dlops.ml.registration"],
    "serve": ["mlflow", "dlops.ml.serving.listening"],
    "predict": ["mlflow", "dlops.ml.bulk_answers"],
}
"""What is imported while the run is being made: what each step imports first, and takes longest.

Before all else what torch compiles with: it looks for its own source in every module that is there by then.
"""
MORE = {"ingest": ["card"]}
"""What a step gives beside what it always answers with."""
UNCACHED = {"serve"}
"""What is never taken as it was: it goes on."""
NAMES = [step.name for step in STEPS]


def declared(parameter: Parameter) -> str:
    """Write a parameter as MLproject declares it, on one line."""
    fields: dict[str, object] = {"type": parameter.type}
    if parameter.default is not None:
        fields["default"] = _plain(parameter)
    for name in ("minimum", "maximum"):
        if (limit := getattr(parameter, name)) is not None:
            fields[name] = int(limit) if float(limit).is_integer() else limit
    if parameter.choices:
        fields["choices"] = list(parameter.choices)
    fields["description"] = parameter.description
    line = yaml.safe_dump(fields, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True).strip()
    return f"      {parameter.name}: {line}"


def entry_point(name: str) -> str:
    """Write a step's entry point as MLproject holds it."""
    parameters = schema.parameters(getattr(settings, name.capitalize()))
    words = " ".join(f"{parameter.name}={{{parameter.name}}}" for parameter in parameters)
    outputs = [*next(step.outputs for step in STEPS if step.name == name), *MORE.get(name, [])]
    lines = [f"  {name}:", f"    ahead: [{', '.join(AHEAD[name])}]", f"    outputs: [{', '.join(outputs)}]"]
    lines += ["    cache: false"] if name in UNCACHED else []
    lines += ["    parameters:", *map(declared, parameters)]
    return "\n".join([*lines, f'    command: "python -m pipelines.{name} {words}"']) + "\n"


def _plain(parameter: Parameter) -> object:
    value = parameter.value(parameter.default or "")
    return value if isinstance(value, int | float) and not isinstance(value, bool) else parameter.default


MAIN = """\
  main:
    cache: false
    parameters:
      config: {type: path, default: configs/run.yaml, description: The pipeline.}
    command: "python -m dlops.cli.main run --config {config}"
"""


def test_stock_mlflow_runs_the_pipeline_as_the_entry_point_main():
    assert (ROOT / "MLproject").read_text().endswith(MAIN)


@pytest.mark.parametrize("name", NAMES)
def test_mlproject_says_what_the_settings_say(name):
    expected = entry_point(name)
    assert expected in (ROOT / "MLproject").read_text(), f"MLproject should hold:\n{expected}"
    held = spec.load(ROOT).entry_points[name]
    assert held.parameters == schema.parameters(getattr(settings, name.capitalize()))


def test_one_word_per_step_everywhere():
    assert list(spec.load(ROOT).entry_points) == [*NAMES, "main"]
    assert list(COMMANDS["Launch a step"]) == NAMES
    assert sorted(file.stem for file in (ROOT / "pipelines").glob("[a-z]*.py")) == sorted(NAMES)
    assert sorted(file.stem for file in (ROOT / "configs").glob("*.yaml")) == sorted([*NAMES, "dlops", "run"])
    for name in NAMES:
        assert (ROOT / f"tests/pipelines/test_{name}.py").exists()
        assert callable(getattr(importlib.import_module(f"dlops.cli.{name}"), name))


@pytest.mark.parametrize("name", NAMES)
def test_a_config_opens_with_the_line_that_runs_it_and_knows_its_parameters(name):
    file = ROOT / "configs" / f"{name}.yaml"
    assert file.read_text().splitlines()[0].startswith(f"# dlops {name}")
    known = {parameter.name for parameter in schema.parameters(getattr(settings, name.capitalize()))}
    assert set(yaml.safe_load(file.read_text()) or {}) <= known


def test_the_conda_environment_is_what_pyproject_asks_for_as_constraints_pin_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text().lower(), flags=re.MULTILINE))
    wanted = [re.match(r"([\w-]+)(\[[\w,]+\])?", requirement) for requirement in project["dependencies"]]
    expected = [f"{match[1]}{match[2] or ''}=={pins[match[1].lower()]}" for match in wanted if match]
    assert yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"][-1] == {"pip": expected}
