"""Rows are handed to processes in turn: of several requests together, or each request for itself."""

from __future__ import annotations

import asyncio

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature

from dlops.ml.engines.engine import MODEL, Description
from dlops.ml.engines.pool import Demand, Plan, Pool, QueueFull

pytestmark = pytest.mark.filterwarnings("ignore:.*input example was not provided")
CODE = """
import time
import mlflow

class Counting(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        time.sleep(0.3)  # so that the rest waits meanwhile
        return [len(model_input)] * len(model_input)

mlflow.models.set_model(Counting())
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """An engine that answers each row with the number of rows that it was asked together with."""
    folder = tmp_path_factory.mktemp("counting")
    (folder / "counting.py").write_text(CODE)
    mlflow.pyfunc.save_model(
        folder / MODEL,
        python_model=str(folder / "counting.py"),
        signature=infer_signature(pd.DataFrame({"text": ["a text"]}), pd.DataFrame({"label": [1]})),
        pip_requirements=[],
    )
    Description("pyfunc", "pyfunc", ("text",), "models:/m-0").write(folder)
    return folder


def together(folder, plan, sizes):
    """Ask for rows of several requests at once; for each request, how many rows each of its own was asked with."""

    async def ask():
        pool = Pool(folder, plan)
        await pool.start()
        try:
            first = asyncio.create_task(pool.answers([["first"]]))
            await asyncio.sleep(0.1)  # the process is busy with it, and the others wait
            found = await asyncio.gather(*(pool.answers([["a text"]] * size) for size in sizes))
            await first
            return [[answer["label"] for answer in answers] for answers in found]
        finally:
            await pool.stop()

    return asyncio.run(ask())


def test_a_batch_is_of_several_requests_unless_it_shall_not_be(counting):
    mixed = together(counting, Plan(workers=1, batch=4), [3, 3])
    assert mixed == [[4, 4, 4], [4, 2, 2]]
    apart = together(counting, Plan(workers=1, batch=4, mixed=False), [3, 3])
    assert apart == [[3, 3, 3], [3, 3, 3]]


def test_a_large_request_leaves_room_for_others(counting):
    async def ask():
        pool = Pool(counting, Plan(workers=1, batch=4, bound=12))
        await pool.start()
        try:
            large = asyncio.create_task(pool.answers([["a text"]] * 40))
            await asyncio.sleep(0.1)
            began = asyncio.get_running_loop().time()
            await pool.answers([["another"]])  # after a batch or two, and not after all forty rows
            soon = asyncio.get_running_loop().time() - began
            await large
            many = [asyncio.create_task(pool.answers([["a text"]] * 4)) for _ in range(8)]
            return soon, await asyncio.gather(*many, return_exceptions=True)
        finally:
            await pool.stop()

    soon, found = asyncio.run(ask())
    assert soon < 1.5
    refused = [one for one in found if isinstance(one, QueueFull)]
    assert 3 <= len(refused) <= 5
    assert all(one.seconds > 0 for one in refused)


def test_a_pause_of_the_machine_is_no_demand_that_is_too_much():
    now = [0.0]
    demand = Demand(lambda: now[0])
    demand.asked(64)
    assert demand.is_too_much, "nothing was answered yet: a burst at the start is bounded as ever"
    for _ in range(600):  # a minute of 76 rows a second, all answered
        now[0] += 0.1
        demand.asked(8)
        demand.answered(8)
    for _ in range(25):  # then it stands still for two and a half seconds
        now[0] += 0.1
        demand.asked(8)
    assert not demand.is_too_much
    for _ in range(100):  # three times as much as it can
        now[0] += 0.1
        demand.asked(27)
        demand.answered(9)
    assert demand.is_too_much


def test_rows_beyond_the_bound_are_let_in_after_a_pause_alone(counting):
    async def ask():
        pool = Pool(counting, Plan(workers=1, batch=1, bound=2, burst=8))
        await pool.start()
        try:
            found = []
            for answered in (0, 1000):
                pool._demand.answered(answered)
                many = [asyncio.create_task(pool.answers([["a text"]])) for _ in range(12)]
                rows = await asyncio.gather(*many, return_exceptions=True)
                found.append(sum(isinstance(row, QueueFull) for row in rows))
            return found
        finally:
            await pool.stop()

    before, after = asyncio.run(ask())
    assert before > after > 0


def test_who_waited_longest_is_refused_when_a_burst_turns_out_to_be_too_much(counting):
    async def ask():
        pool = Pool(counting, Plan(workers=1, batch=1, bound=4, burst=8, crowd=2))
        await pool.start()
        try:
            pool._demand.answered(1000)
            many = [asyncio.create_task(pool.answers([["a text"]])) for _ in range(8)]
            await asyncio.sleep(0)
            assert pool.waiting == 8
            pool._demand.asked(10_000)
            with pytest.raises(QueueFull):
                await pool.answers([["another"]])
            assert pool.waiting == 2
            return await asyncio.gather(*many, return_exceptions=True)
        finally:
            await pool.stop()

    found = [isinstance(row, QueueFull) for row in asyncio.run(ask())]
    assert found == [True] * 6 + [False] * 2
