"""What is shown: whole, as it is, whatever it is."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlops.cli import console
from dlops.errors import ConfigError, GateFailed, StepFailed
from dlops.project.outcome import Outcome

ODD = ["[red]x[/]", "[/nothing]", ":smile:", "[link=x]", "back\\slash\\", "ünï🙂", "x" * 5000, "a: {b}", "%s", "[[x]]"]
FACTS = {"target": "local", "entry_point": "main", "tracking_uri": "sqlite:////x.db"}


@pytest.fixture(autouse=True)
def _fresh_consoles():
    """Consoles write to the streams of the test at hand."""
    for made in (console.out, console.err):
        made.cache_clear()
    yield
    for made in (console.out, console.err):
        made.cache_clear()


@pytest.mark.parametrize("odd", ODD)
def test_a_text_is_no_markup(odd, capsys):
    console.out().print(console.facts([(odd, odd)]))
    console.show_error(ConfigError(odd, problems=[odd], hint=odd))
    shown = capsys.readouterr()
    assert shown.out.count(odd) >= 2
    assert shown.err.count(odd) >= 3


@pytest.mark.parametrize("odd", ODD)
def test_an_outcome_of_odd_names(odd, capsys):
    outcome = Outcome(
        **{**FACTS, "step": odd, "status": "FINISHED", "run_id": "r"}, outputs={odd: odd}, metrics={odd: 0.5}
    )
    console.show_outcome(outcome)
    assert capsys.readouterr().out.count(odd) >= 4


@pytest.mark.parametrize("odd", ODD)
def test_a_plan_of_odd_names(odd, capsys):
    plan = dict.fromkeys(("step", "target", "entry_point", "project", "environment", "experiment", "tracking_uri"), odd)
    plan |= {"commit": "c" * 40, "dirty": True, "params": {odd: odd}, "layers": {odd: odd}, "command": odd}
    console.show_outcome(Outcome(**FACTS, step="x", status="PLANNED", plan=plan))
    shown = capsys.readouterr().out
    assert shown.count(odd) >= 10
    assert "cccccccccccc and changes not committed" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(2.0, "2"), (0, "0"), (1234567.0, "1234567"), (1e14, "100000000000000"), (-3.0, "-3")],
        *[(0.123456, "0.1235"), (1e-7, "1e-07"), (1e300, "1e+300"), (math.nan, "nan"), (math.inf, "inf")],
    ],
)
def test_numbers(value, shown):
    assert console.number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *[(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (61, "1 min 1 s")],
        *[(3599.7, "1 h 0 min"), (86400, "24 h 0 min")],
    ],
)
def test_durations(seconds, shown):
    assert console.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *[(0, "0 s"), (45.4, "45 s"), (59.4, "59 s"), (59.6, "1 min"), (12 * 60, "12 min"), (3599, "1 h")],
        *[(3 * 3600 + 100, "3 h"), (47 * 3600, "47 h"), (48 * 3600, "2 d"), (21.4 * 86400, "21 d")],
    ],
)
def test_rough_durations(seconds, shown):
    assert console.rough(seconds) == shown


def test_off_a_terminal_no_line_ends_in_spaces(capsys):
    console.out().print(console.facts([("a", "long " * 9 + "value"), ("b", "x")]))
    console.err().print(console.pairs({"a": "long", "b": "x"}))
    with console.unpadded():
        print("told by others   \n\n  kept")
    shown = capsys.readouterr()
    assert shown.out == f"a  {'long ' * 9}value\nb  x\ntold by others\n\n  kept\n"
    assert shown.err == "a  long\nb  x\n"


@pytest.mark.parametrize(("columns", "lines"), [("40", 4), ("0", 1), ("wide", 1)])
def test_columns_fold_a_table_and_no_text(monkeypatch, capsys, columns, lines):
    monkeypatch.setenv("COLUMNS", columns)
    console.out().print(console.facts([("name", "word " * 19 + "end")]))
    table = capsys.readouterr().out
    assert len(table.splitlines()) == lines
    console.out().print("word " * 19 + "end")
    assert capsys.readouterr().out == "word " * 19 + "end\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@given(JSON)
def test_a_document_is_always_json(document):
    def refuse(constant):
        raise AssertionError(constant)

    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.setattr(
            "sys.stdout", type("Out", (), {"encoding": "utf-8", "write": lambda self, t: written.append(t)})()
        )
        console.print_json(document)
    assert json.loads("".join(written), parse_constant=refuse) == console._finite(document)


def test_a_gate_and_a_failure_go_to_stderr_and_the_result_to_stdout(capsys):
    outcome = Outcome(**FACTS, step="finetune", status="FAILED", run_id="r", error=GateFailed("No.", hint="look"))
    console.show_outcome(outcome)
    shown = capsys.readouterr()
    assert "FAILED" in shown.out
    assert shown.err == "gate No.\n  → look\n"
    console.show_outcome(outcome, as_json=True)
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["kind"] == "gate"
    assert shown.err == ""


def test_what_to_do_next_follows_a_step_that_answered(capsys):
    done = Outcome(**FACTS, step="ingest", status="FINISHED", run_id="r", outputs={"dataset": "d [x]", "digest": "1"})
    console.show_outcome(done)
    assert "dlops finetune dataset=d [x]" in capsys.readouterr().err


def test_detached_the_id_alone_is_the_result(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", FACTS["tracking_uri"])
    console.show_outcome(Outcome(**FACTS, step="finetune", status="RUNNING", run_id="abc"))
    shown = capsys.readouterr()
    assert shown.out == "abc\n"
    assert "dlops logs abc -f" in shown.err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    console.show_outcome(Outcome(**FACTS, step="finetune", status="RUNNING", run_id="abc"))
    assert f"dlops cancel abc --tracking-uri {FACTS['tracking_uri']}" in capsys.readouterr().err


def test_what_answers_and_goes_on_shows_where(capsys):
    console.show_outcome(Outcome(**FACTS, step="serve", status="RUNNING", run_id="abc", outputs={"url": "http://x"}))
    shown = capsys.readouterr()
    assert "http://x" in shown.out
    assert "`dlops cancel abc" in shown.err


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_step_printed_is_repeated_only_where_it_was_not_seen(capsys, quiet):
    error = StepFailed("finetune failed with exit code 1.", hint="See the log.", printed="ValueError: no such thing")
    console.show_outcome(Outcome(**FACTS, step="finetune", status="FAILED", error=error), quiet=quiet)
    told = capsys.readouterr().err
    assert told.count("no such thing") == quiet
    assert "exit code 1" in told
    assert "See the log." in told
    assert "no such thing" in str(error)
