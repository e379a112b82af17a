"""`python -m pipelines.serve`: a real server, asked as its clients ask, overloaded, wounded, and moved along."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import deltalake
import mlflow
import pandas as pd
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from prometheus_client.parser import text_string_to_metric_families

from tests.data.browser import needs_chromium
from tests.ml.conftest import simple_rows
from tests.pipelines.serving import serving, under_load
from tests.pipelines.test_explain import decided, films
from tests.pipelines.test_predict import answers, log_words, words
from tests.pipelines.typing_browser import Typing

__all__ = ["decided", "films", "log_words", "words"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*input example was not provided", "ignore::DeprecationWarning"),
    pytest.mark.timeout(240),
]
QUICK = ("watch_seconds=0.2", "probation_seconds=2")


def metrics(server):
    """Give the samples that the server tells Prometheus, by name and labels."""
    told = text_string_to_metric_families(server.get("/metrics").text)
    return {(one.name, *sorted(one.labels.items())): one.value for family in told for one in family.samples}


def register(steps, uri, alias="champion"):
    """Make a model the next version of `words`, and give it the alias."""
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    version = mlflow.register_model(uri, "words").version
    mlflow.set_tracking_uri(None)
    steps.client.set_registered_model_alias("words", alias, version)
    return str(version)


BODIES = [
    ({"dataframe_split": {"columns": ["text"], "data": [["a good film"], ["a dull one"]]}}, "application/json"),
    ({"dataframe_split": {"columns": ["text"], "index": [7], "data": [["a good film"]]}}, "application/json"),
    ({"dataframe_records": [{"text": "a good film"}]}, "application/json"),
    ({"dataframe_records": [{"text": "a good film", "more": 1}]}, "application/json; charset=utf-8"),
    ({"instances": [{"text": "a good film"}]}, "application/json"),
    ({"instances": ["a good film", "a dull one"]}, "application/json"),
    ({"inputs": {"text": ["a good film"]}}, "application/json"),
    ({"inputs": ["a good film"]}, "application/json"),
    ("text\na good film\na dull one\n", "text/csv"),
    ({"dataframe_split": {"columns": ["body"], "data": [["a good film"]]}}, "application/json"),
    ({"dataframe_split": {"columns": ["text"], "data": [[5]]}}, "application/json"),
    ({"dataframe_split": {"columns": ["text"], "data": [[None]]}}, "application/json"),
    ({"dataframe_split": {"columns": ["text"], "data": []}}, "application/json"),
    ({"dataframe_split": {}}, "application/json"),
    ({"texts": ["a good film"]}, "application/json"),
    ({"inputs": ["a"], "instances": ["b"]}, "application/json"),
    ('{"inputs": ["a', "application/json"),
    ("[1]", "application/json"),
    ("", "application/json"),
    ("text", "text/plain"),
    ("{}", "application/json; charset=latin-1"),
    ({"dataframe_records": [{"text": None}]}, "application/json"),
    ({"inputs": ["an awkward film"]}, "application/json"),
    ({"dataframe_split": {"columns": ["text"], "data": [["an awkward film"]]}}, "application/json"),
]


def test_it_speaks_as_mlflows_server_does(steps, words):
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    model = mlflow.pyfunc.load_model(words)
    mlflow.set_tracking_uri(None)
    with serving(steps, words) as server:
        assert server.get("/ping").content == server.get("/health").content == b"\n"
        assert server.get("/version").text == mlflow.__version__
        for given, kind in BODIES:
            body = given if isinstance(given, str) else json.dumps(given)
            found = server.post("/invocations", data=body.encode(), headers={"Content-Type": kind})
            try:
                told = scoring_server.invocations(body.encode(), kind, model, model.metadata.get_input_schema())
                status, expected = told.status, told.response
            except MlflowException as error:
                status, expected = error.get_http_status_code(), error.serialize_as_json()
            assert found.status_code == status, (body, found.text, expected)
            if status == 200:
                assert found.json() == json.loads(expected), body
            elif status == 400:
                ours, theirs = found.json(), json.loads(expected)
                assert ours["error_code"] == theirs["error_code"], body
                assert sorted(re.findall(r"\w+", ours["message"])) == sorted(re.findall(r"\w+", theirs["message"])), (
                    body
                )
            else:
                assert found.text == expected
        client = ScoringServerClient("127.0.0.1", urlsplit(server.url).port)
        frame = client.invoke(pd.DataFrame({"text": ["a good film"]})).get_predictions()
        assert frame["label"].tolist() == ["positive"]


def test_its_own_endpoints_log_and_metrics(steps, words):
    register(steps, words)
    with serving(steps, "models:/words@champion", f"log_to={steps.folder}/log", "log_seconds=0.2") as server:
        one = server.post(
            "/predict", {"text": "good, says joe@example.com"}, headers={"X-Request-Id": "mine", "X-Key": "joe"}
        )
        assert one.headers["X-Request-Id"] == "mine"
        assert one.headers["X-Model-Version"] == "1"
        told = one.json()
        assert told["model"]["name"] == "words"
        assert told["predictions"][0] == {
            "id": "mine:0",
            "label": "positive",
            "score": 0.75,
            "scores": {"positive": 0.75, "negative": 0.25},
        }
        several = server.post("/predict", {"texts": ["good", "bad"]}).json()
        assert [row["label"] for row in several["predictions"]] == ["positive", "negative"]
        assert server.post("/feedback", {"id": "mine", "label": "negative"}).json() == {
            "id": "mine:0",
            "predicted": "positive",
            "correct": False,
        }
        assert server.post("/feedback", {"id": several["predictions"][1]["id"], "label": "negative"}).json()["correct"]
        assert server.post("/feedback", {"id": "nobody's", "label": "x"}).status_code == 404
        for wrong, field in (
            ({"txt": "good"}, "txt"),
            ({"text": 5}, "text"),
            ({}, "name either text or texts"),
            ({"text": "a", "texts": ["b"]}, "name either text or texts"),
            ({"text": "a", "text_pair": "b"}, "The model takes single texts"),
        ):
            found = server.post("/predict", wrong)
            assert found.status_code == 422
            assert field in found.text
        assert server.post("/predict", data=b'{"text": "\\ud800"}').status_code == 422
        assert server.post("/predict", {"text": "awkward"}).status_code == 400
        assert server.get("/nowhere").status_code == 404
        detailed = server.get("/version", headers={"Accept": "application/json"}).json()
        assert detailed["champion"]["engine"] == "pyfunc"
        found = metrics(server)
        assert found["dlops_requests_total", ("endpoint", "/predict"), ("status", "200")] == 2
        assert found["dlops_rows_total", ("version", "1")] == 3
        assert found["dlops_feedback_total", ("correct", "false"), ("version", "1")] == 1
        model = ("engine", "pyfunc"), ("name", "words"), ("role", "champion"), ("version", "1")
        assert found["dlops_model", *model] == 1
        assert found["dlops_request_seconds_count", ("endpoint", "/predict")] == 9
    rows = deltalake.DeltaTable(f"{steps.folder}/log").to_pyarrow_table().sort_by("time").to_pylist()
    assert Counter(row["kind"] for row in rows) == {"answer": 3, "feedback": 2}
    assert rows[0]["text"] == "good, says [email]"
    assert (rows[0]["request_id"], rows[0]["key"], rows[0]["label"], rows[0]["model_version"]) == (
        "mine",
        "joe",
        "positive",
        "1",
    )
    (feedback,) = [row for row in rows if row["true_label"] == "negative" and row["label"] == "positive"]
    assert (feedback["request_id"], feedback["row"]) == ("mine", 0)
    run = steps.runs()[0]
    assert run.info.status == "KILLED"
    assert run.data.tags["dlops.output.url"].startswith("http://127.0.0.1:")


def raw(server, sent, *, then=0.0, seconds=30):
    """Send bytes, wait, and give what comes back."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        connection.sendall(sent)
        time.sleep(then)
        return connection.recv(65536)


def test_it_holds_what_comes_to_its_limits(steps, words):
    asked = ("queue=2", "workers=1", "time_limit=3", "max_rows=10", "max_body_mb=0.01", "token_variable=SECRET")
    with serving(steps, words, *asked, SECRET="open sesame") as server:
        carrying = {"headers": {"Authorization": "Bearer open sesame"}}
        assert server.get("/health").status_code == 200
        for wrong in ({}, {"headers": {"Authorization": "Bearer wrong"}}):
            found = server.post("/predict", {"text": "good"}, **wrong)
            assert found.status_code == 401
            assert found.headers["WWW-Authenticate"] == "Bearer"
        assert server.get("/metrics").status_code == 401
        assert server.post("/predict", {"text": "good"}, **carrying).status_code == 200
        assert server.post("/predict", {"texts": ["good"] * 11}, **carrying).status_code == 413
        assert server.post("/predict", {"text": "x" * 20_000}, **carrying).status_code == 413
        chunked = (b"x" * 1000 for _ in range(30))
        assert server.post("/predict", data=chunked, **carrying).status_code == 413
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer open sesame\r\nContent-Length: 100\r\n\r\n"
        assert raw(server, head + b'{"te', then=3.5).startswith(b"HTTP/1.1 408")
        assert raw(server, b"NONSENSE\r\n\r\n").startswith(b"HTTP/1.1 400")
        with ThreadPoolExecutor(8) as pool:
            asks = [pool.submit(server.post, "/predict", {"text": "slow"}, **carrying) for _ in range(8)]
            found = [ask.result() for ask in asks]
        statuses = Counter(one.status_code for one in found)
        assert statuses.keys() <= {200, 503, 504}
        assert statuses[503] >= 3
        assert all(int(one.headers["Retry-After"]) >= 1 for one in found if one.status_code == 503)
        assert 1 <= statuses[200] <= 3
        end = time.monotonic() + 20  # rows that nobody waits for any more are still computed
        while (last := server.post("/predict", {"text": "good"}, **carrying).status_code) != 200:
            assert last in (503, 504)
            assert time.monotonic() < end
            time.sleep(0.2)
    assert "open sesame" not in json.dumps(steps.runs()[0].to_dictionary())


def test_who_says_nothing_is_waited_for_no_longer_than_a_request_may_take(steps, words):
    with serving(steps, words, "time_limit=1") as server:
        place = urlsplit(server.url)
        for sent, answer in ((b"", b"408"), (b"POST /predict HTTP/1.1\r\nHost: a\r\nX", b"408")):
            with socket.create_connection((place.hostname, place.port), timeout=20) as silent:
                silent.sendall(sent)
                began = time.monotonic()
                assert answer in silent.recv(1000).splitlines()[0]
                assert silent.recv(1000) == b""
                assert time.monotonic() - began < 10
        with socket.create_connection((place.hostname, place.port), timeout=20) as silent:
            silent.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.5)  # so that head and body are read together
            assert b"200" in silent.recv(1000).splitlines()[0]
            silent.sendall(b"\r\n")  # what begins no request does not make it wait for ever
            assert b"408" in silent.recv(1000).splitlines()[0]
        with requests.Session() as session:  # one that asks again after a while is waited for
            for _ in range(2):
                assert session.get(f"{server.url}/ping", timeout=20).ok
                time.sleep(2)


def test_who_dies_is_replaced_and_nobody_else_is_harmed(steps, words):
    with serving(steps, words) as server:
        assert len(server.workers()) == 2
        over = threading.Event()
        statuses = Counter()

        def ask():
            with requests.Session() as session:
                while not over.is_set():
                    statuses[session.post(f"{server.url}/predict", json={"text": "good"}, timeout=60).status_code] += 1

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(1)
            server.workers()[0].kill()
        deadly = server.post("/predict", {"text": "a deadly film"})
        assert deadly.status_code == 500
        assert "ended" in deadly.json()["detail"]
        time.sleep(4)
        over.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}
        assert len(server.workers()) == 2
        assert metrics(server)["dlops_processes_replaced",] == 4


def test_who_asked_before_the_end_is_answered(steps, words):
    with serving(steps, words, "workers=2", "drain_seconds=8") as server:
        with ThreadPoolExecutor(6) as pool:
            asks = [pool.submit(server.post, "/predict", {"text": f"slow {place}"}) for place in range(6)]
            time.sleep(0.7)
            server.process.send_signal(signal.SIGTERM)
            assert [ask.result().status_code for ask in asks] == [200] * 6
        assert server.process.wait(20) == 130


def hold_to_moves(steps, words, times):
    register(steps, words)
    register(steps, words, "other")
    with serving(steps, "models:/words@champion", "watch_seconds=0.2", "probation_seconds=0") as server:
        moves = [(0.0, "1")]

        def move():
            for number in range(times):
                version = str(2 - number % 2)
                before = len([line for line in server.lines if " instead of " in line])
                steps.client.set_registered_model_alias("words", "champion", version)
                end = time.monotonic() + 60
                while len([line for line in server.lines if " instead of " in line]) == before:
                    assert time.monotonic() < end, "\n".join(server.lines)
                    time.sleep(0.05)
                moves.append((time.time(), version))

        found = under_load(server, move)
    assert {status for status, *_ in found} == {200}
    assert {version for _, version, *_ in found} == {"1", "2"}
    grace = 2.0  # until what the server says of a move is read here
    for _, version, began, ended in found:
        ends = [moment for moment, _ in moves[1:]] + [float("inf")]
        held = [(moment - grace, end + grace) for (moment, one), end in zip(moves, ends, strict=True) if one == version]
        assert any(moment <= ended and began <= end for moment, end in held)


def test_an_alias_that_moves_loses_no_request(steps, words):
    hold_to_moves(steps, words, 3)


@pytest.mark.timeout(900)
def test_an_alias_that_moves_twenty_times_loses_no_request(steps, words):
    hold_to_moves(steps, words, 20)


def test_a_version_that_fails_is_not_taken_or_taken_back(steps, log_words, words):
    register(steps, words)
    with serving(steps, "models:/words@champion", "watch_seconds=0.2", "probation_seconds=20") as server:
        register(steps, log_words("True"))  # cannot answer anything
        server.wait_for("version 2 is not taken")
        assert server.post("/predict", {"text": "good"}).headers["X-Model-Version"] == "1"
        register(steps, log_words('model_input["text"].str.contains("fine").any()'))
        server.wait_for("version 3 instead of words version 1")
        for _ in range(30):
            server.post("/predict", {"text": "a fine film"})
        server.wait_for("version 1 again, as words version 3 failed")
        found = server.post("/predict", {"text": "a fine film"})
        assert (found.status_code, found.headers["X-Model-Version"]) == (200, "1")
        time.sleep(1)
        assert server.post("/predict", {"text": "good"}).headers["X-Model-Version"] == "1"


def test_a_challenger_has_its_share_and_a_shadow_answers_in_silence(steps, log_words, words):
    register(steps, words)
    register(steps, words, "candidate")
    with serving(
        steps,
        "models:/words@champion",
        "challenger=models:/words@candidate",
        "split=0.3",
        f"shadow={words}",
        "workers=1",
    ) as server:

        def version(key):
            return server.post("/predict", {"text": "good"}, headers={"X-Key": key}).headers["X-Model-Version"]

        first = {f"user {number}": version(f"user {number}") for number in range(200)}
        assert 30 <= Counter(first.values())["2"] <= 90
        assert {key: version(key) for key in list(first)[:40]} == dict(list(first.items())[:40])
        assert metrics(server)["dlops_shadow_rows_total", ("answer", "same")] >= 100


def test_it_explains(steps, films):
    texts, _ = simple_rows(3, seed=3)
    with serving(steps, films, "engine=torch", "workers=1") as server:
        found = server.post("/predict", {"texts": texts}).json()["predictions"]
        for one, other in zip(found, answers(steps, films, texts), strict=True):
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)
        for method in ("integrated_gradients", "shap"):
            told = server.post("/explain", {"text": texts[0], "method": method}).json()
            assert told["label"] == found[0]["label"]
            assert "".join(told["tokens"]) == texts[0]
            assert len(told["values"]) == len(told["tokens"])
            if method == "shap":
                assert told["base"] + sum(told["values"]) == pytest.approx(told["score"], abs=1e-4)
        for wrong in ({"text": texts[0], "label": "none"}, {"text": "  "}, {"text": texts[0], "method": "guess"}):
            assert server.post("/explain", wrong).status_code == 422


@needs_chromium
def test_the_page_answers_in_a_browser(steps, films, tmp_path):
    """Type a text as a person would, with the keyboard alone, and look at what is shown."""
    text = simple_rows(1, seed=3)[0][0]
    with serving(steps, films, "engine=torch", "workers=1") as server:
        expected = server.post("/explain", {"text": text}).json()
        page = server.get("/")
        assert "script-src 'nonce-" in page.headers["Content-Security-Policy"]
        for dark in (False, True):
            with Typing(server.url, tmp_path / f"profile-{dark}", dark=dark) as browser:
                assert browser.ask("document.activeElement.id") == "text", "it can be typed at once"
                browser.type(text)
                browser.press_enter_with_control()
                browser.wait_for("!document.getElementById('words').hidden")
                assert browser.ask("document.getElementById('label').textContent") == expected["label"]
                assert browser.ask("document.getElementById('words').textContent") == text
                assert browser.ask("document.querySelectorAll('#scores meter').length") == 2
                assert "m-" in browser.ask("document.getElementById('about').textContent")
                browser.ask("document.getElementById('right').click()")
                browser.wait_for("document.getElementById('thanks').textContent !== ''")
                assert browser.problems == []
                kept = Path(os.environ.get("SCREENSHOTS", tmp_path)) / f"serve-{'dark' if dark else 'light'}.png"
                pixels = browser.screenshot(kept)
                assert (pixels[5, 5].mean() < 128) == dark
        docs = server.get("/docs").text
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', docs), "it asks nobody else"
        assert server.get("/docs/assets/swagger-ui-bundle.js").status_code == 200
        assert metrics(server)["dlops_feedback_total", ("correct", "true"), ("version", films)] == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_does_what_its_description_says(steps, words):
    """Let schemathesis ask what the OpenAPI document allows, and what it does not."""
    with serving(steps, words, "time_limit=10", "explain=false") as server:
        schema = server.get("/openapi.json").json()
        assert {"/invocations", "/predict", "/explain", "/feedback", "/metrics", "/ping"} <= schema["paths"].keys()
        command = [Path(sys.executable).with_name("schemathesis"), "run", f"{server.url}/openapi.json"]
        words = (
            "--max-examples=25",
            "--seed=1",
            "--exclude-path=/invocations",
            "--no-color",
            "--generation-database=none",
        )
        checks = (
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        )
        done = subprocess.run(
            [*command, *words, *checks], cwd=steps.folder, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert server.post("/predict", {"text": "good"}).status_code == 200


def test_a_damaged_engine_is_made_once_more(steps, words):
    with serving(steps, words, "workers=1"):
        pass
    (kept,) = Path(steps.environ["DLOPS_HOME"]).glob("cache/engines/*/pyfunc")
    (kept / "recorded.json").unlink()
    (kept / "model" / "MLmodel").write_text("flavors: {")
    with serving(steps, words, "workers=1") as server:
        assert server.post("/predict", {"text": "good"}).status_code == 200


def test_what_is_no_text_harms_neither_processes_nor_the_log(steps, words):
    with serving(steps, words, "workers=1", f"log_to={steps.folder}/log", "log_seconds=0.2") as server:
        frame = pd.DataFrame({"text": [b"bytes"]})
        server.post("/invocations", data=frame.to_parquet(), headers={"Content-Type": "application/vnd.apache.parquet"})
        server.post("/invocations", {"dataframe_records": [{"text": 5}]})
        assert server.post("/predict", {"text": "good"}).status_code == 200
        assert metrics(server)["dlops_processes_replaced",] == 0
    rows = deltalake.DeltaTable(f"{steps.folder}/log").to_pyarrow_table().to_pylist()
    assert "good" in [row["text"] for row in rows]


def test_what_cannot_be_served_is_told(steps, words):
    def told(*asked):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.serve", f"model={words}", *asked],
            **{"cwd": steps.folder, "env": steps.environ, "capture_output": True, "text": True},
            timeout=120,
        )
        return done.returncode, done.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, error = told(f"port={taken.getsockname()[1]}")
        assert code == 2
        assert "Nothing can listen on 127.0.0.1" in error
    code, error = told("port=0", "token_variable=NOBODY_SET_IT")
    assert code == 2
    assert "NOBODY_SET_IT" in error
    code, error = told("port=0", "model=models:/nowhere@champion")
    assert code in (2, 4)
    code, error = told("port=0", "engine=onnx-int8")
    assert code == 4
    assert "engine=onnx-int8" in error
