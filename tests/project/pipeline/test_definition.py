"""A pipeline's file is read whole: what is wrong in it is told at once, each on its line."""

from __future__ import annotations

import textwrap

import pytest

from dlops.errors import ConfigError
from dlops.project.pipeline import definition

WRONG = """\
steps:
  1st: {}
  ingest: [a]
  finetune:
    parameter: {}
    retries: many
    parameters: {dataset: "${ingest}"}
  evaluate:
    when: ${finetune.metrics.f1} bigger 3
    cache: maybe
  explain:
    needs: {a: b}
    target: [gpu]
  last: {needs: [finetun, last]}
parallel: -1
more: 1
"""


@pytest.fixture
def read(tmp_path):
    def of(text):
        (tmp_path / "run.yaml").write_text(textwrap.dedent(text))
        return definition.load(tmp_path / "run.yaml")

    return of


@pytest.fixture
def problems(read):
    def of(text):
        with pytest.raises(ConfigError) as caught:
            read(text)
        return [problem.partition("run.yaml")[2] for problem in caught.value.problems]

    return of


def test_all_mistakes_are_told_at_once_with_their_lines(problems):
    assert sorted(problems(WRONG)) == sorted(
        [
            ": 'more' is unknown",
            ":2: '1st' cannot name a step: letters, digits, - and _ do",
            ":3: ingest holds KEY: VALUE lines, not ['a']",
            ":4: finetune: 'parameter' is unknown; did you mean 'parameters'?; parameters go below parameters:",
            ":4: finetune: retries takes a whole number from 0 to 20, not 'many'",
            ":4: finetune: dataset: ${ingest} is no reference: write ${STEP.OUTPUT} or ${STEP.metrics.NAME}",
            ":8: evaluate: when: '${finetune.metrics.f1} bigger 3' compares nothing: write"
            " ${evaluate.metrics.test_accuracy} >= 0.8",
            ":8: evaluate: cache is true or false, not 'maybe'",
            ":11: explain: needs takes a text, or a list of them, not {'a': 'b'}",
            ":11: explain: target takes a text, not ['gpu']",
            ": parallel takes a whole number from 0 to 1000, not '-1'",
            ":14: last needs itself",
            ":14: last needs 'finetun', which is no step; did you mean 'finetune'?",
        ]
    )


def test_a_step_with_a_mistake_is_a_step_all_the_same(problems):
    text = "steps:\n  a: {more: 1}\n  b: {needs: a}\n"
    assert problems(text) == [":2: a: 'more' is unknown; parameters go below parameters:"]


def test_a_cycle_is_named(problems):
    text = """\
        steps:
          start: {}
          a: {parameters: {x: "${c.y}"}, needs: start}
          b: {needs: a}
          c: {when: "${b.metrics.m} > 1"}
        """
    assert problems(text) == [":3: a cycle: a needs c needs b needs a"]


def test_each_step_comes_after_what_it_needs_else_as_it_is_written(read):
    text = """\
        steps:
          z: {}
          judge: {when: "${train.metrics.m} > ${base.metrics.m}"}
          train: {parameters: {data: ["${data.table}", 1], more: {deep: "${base.x}"}}}
          base: {needs: data}
          data:
          a: {needs: [z]}
        """
    pipeline = read(text)
    assert list(pipeline.steps) == ["z", "data", "base", "train", "judge", "a"]
    assert pipeline.steps["train"].before == ("data", "base")
    assert pipeline.after("data") == {"base", "train", "judge"}
    assert pipeline.before("judge") == {"train", "base", "data"}
    assert (pipeline.after("a"), pipeline.before("z")) == (set(), set())


def test_a_step_is_what_is_written(read, tmp_path):
    text = """\
        parallel: 2
        steps:
          tiny:
            entry_point: finetune
            parameters: {epochs: 010, name: 1.10, on: yes}
            target: gpu
            retries: 3
            depends: "**/*.py"
            cache: false
          finetune: {}
        """
    pipeline = read(text)
    tiny = pipeline.steps["tiny"]
    assert (pipeline.parallel, pipeline.base, tiny.where) == (2, tmp_path, f"{tmp_path}/run.yaml:3")
    assert tiny.parameters == {"epochs": "010", "name": "1.10", "on": "yes"}, "texts, as they are written"
    assert (tiny.kind, tiny.target, tiny.retries, tiny.depends, tiny.cache) == (
        "finetune",
        "gpu",
        3,
        ("**/*.py",),
        False,
    )
    plain = pipeline.steps["finetune"]
    assert (plain.kind, plain.depends, plain.cache, plain.before) == ("finetune", None, None, ())


@pytest.mark.parametrize("text", ["parallel: 1\n", "steps: []\n", "steps: {}\n", "steps: x\n"])
def test_a_pipeline_has_steps(problems, text):
    assert problems(text)[0].startswith(": needs steps: with one NAME: for each")


def test_where_none_is_it_is_said_how_one_is_made(tmp_path):
    with pytest.raises(ConfigError, match="There is no pipeline") as caught:
        definition.load(tmp_path / "none.yaml")
    assert "dlops init" in caught.value.hint
