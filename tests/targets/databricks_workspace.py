"""A stand-in for a Databricks workspace: as strict about requests as the service, and really running what it is given.

It knows files (volumes, workspace files, those of MLflow), Jobs 2.2 one-time runs, secrets, Model Serving, and MLflow's
API, which it passes to a tracking server. Requests are held to the SDK's dataclasses: a field that they do not have is
refused. It proves our side only.
"""

from __future__ import annotations

import base64
import contextlib
import email.parser
import email.policy
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from databricks.sdk.service import jobs

from tests import processes
from tests.data.loopback import serving
from tests.servers import outside
from tests.targets import databricks_endpoints
from tests.targets.databricks_endpoints import Refused, same

TOKEN = "dapi-of-a-test"
CLUSTER = "0612-101112-abcdefgh"
MARK = "TEST_DATABRICKS_TASK"
_FIELDS = {"tasks", "run_name", "idempotency_token", "timeout_seconds", "environments", "git_source"}
_ROOTS = ("/Volumes/", "/Workspace/")
_OF_MLFLOW = "/WorkspaceInternal/Mlflow/Artifacts/"
"""Where the service keeps what is at `ARTIFACTS`."""
ARTIFACTS = "dbfs:/databricks/mlflow-tracking"


class Workspace(ThreadingHTTPServer):
    """One workspace on loopback, with its files below a folder."""

    daemon_threads = True

    def __init__(self, folder: Path, tracking_uri: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.tracking_uri = folder, tracking_uri
        self.temporary = folder / "tmp"
        """What `tempfile` uses in its jobs."""
        self.temporary.mkdir()
        self.mark = uuid.uuid4().hex
        """The value of `MARK` that every process of its jobs has."""
        self.host = f"http://127.0.0.1:{self.server_port}"
        self.runs: dict[int, Task] = {}
        self.tokens: dict[str, int] = {}
        self.secrets = {"films/hub": "hunter2-in-scope"}
        self.faults: list[Any] = []
        """For each submission: a status, `lost` (taken, not answered), `cut` (not taken), or None."""
        self.expired = False
        self.received: list[str] = []
        """Every path that was uploaded."""
        self.submitted: list[dict[str, Any]] = []
        self._numbers = itertools.count(1000)
        self.lock = threading.Lock()
        self.serving = databricks_endpoints.Endpoints()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that is broken off is no news here."""

    def place(self, path: str) -> Path:
        if not path.startswith((*_ROOTS, _OF_MLFLOW)) or ".." in path:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"no such place: {path}")
        return self.folder / path.lstrip("/")

    def sent(self) -> list[Path]:
        """List the folders of jobs that lie here."""
        return [folder for root in _ROOTS for folder in (self.folder / root.strip("/")).rglob("dlops-*")]

    def submit(self, asked: dict[str, Any]) -> int:
        with self.lock:
            token = str(asked.get("idempotency_token") or "")
            if len(token) > 64:
                raise Refused(400, "INVALID_PARAMETER_VALUE", "idempotency_token has 64 characters at most")
            if token in self.tokens:
                return self.tokens[token]
            script = self._checked(asked)
            self.submitted.append(asked)
            number = next(self._numbers)
            self.runs[number] = Task(self, number, script)
            if token:
                self.tokens[token] = number
            return number

    def _checked(self, asked: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(asked) - _FIELDS:
            raise Refused(400, "MALFORMED_REQUEST", f"unknown fields {sorted(unknown)}")
        (task,) = asked["tasks"]
        same(jobs.SubmitTask.from_dict(task).as_dict(), task, "task")
        environments = {}
        for each in asked.get("environments") or []:
            same(jobs.JobEnvironment.from_dict(each).as_dict(), each, "environment")
            environments[each["environment_key"]] = each
        where = [name for name in ("existing_cluster_id", "new_cluster", "environment_key") if task.get(name)]
        if len(where) != 1:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"one compute is needed, not {where}")
        if where == ["existing_cluster_id"] and task["existing_cluster_id"] != CLUSTER:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Cluster {task['existing_cluster_id']} does not exist")
        if where == ["new_cluster"] and not {"spark_version", "node_type_id"} <= set(task["new_cluster"]):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "new_cluster needs spark_version and node_type_id")
        if where == ["environment_key"] and task["environment_key"] not in environments:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"no environment {task['environment_key']}")
        if where == ["environment_key"] and task.get("libraries"):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "libraries are for clusters")
        if task.get("compute") and where != ["environment_key"]:
            raise Refused(400, "INVALID_PARAMETER_VALUE", "an accelerator is for serverless compute")
        script = task["spark_python_task"]
        if not self.place(script["python_file"]).is_file():
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Cannot read {script['python_file']}")
        return script

    def close(self) -> None:
        for task in self.runs.values():
            task.lose("the test is over")


class Task:
    """A run, which is a process of its own."""

    def __init__(self, workspace: Workspace, number: int, script: dict[str, Any]) -> None:
        self.number, self._workspace = number, workspace
        self.code, self.message = "", ""
        place = workspace.place(script["python_file"])
        words = [str(workspace.place(word)) if word.startswith(_ROOTS) else word for word in script["parameters"]]
        self._log = workspace.folder / f"{number}.log"
        environ = outside() | {
            MARK: workspace.mark,
            "DATABRICKS_HOST": workspace.host,
            "DATABRICKS_TOKEN": TOKEN,
            "PYTHONPATH": "",
            "TMPDIR": str(workspace.temporary),
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(place), *words], env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def cancel(self, code: str = "USER_CANCELED") -> None:
        """Kill the task's own process, as the service does; what it started is not its affair."""
        if self.process.poll() is None:
            self.code, self.message = code, "Run cancelled."
            self.process.kill()
            self.process.wait()

    def lose(self, message: str) -> None:
        """Lose the cluster, with all that ran on it."""
        if self.process.poll() is None:
            self.code, self.message = "CLUSTER_ERROR", message
        for pid in processes.carrying(MARK, self._workspace.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def described(self) -> dict[str, Any]:
        ended = self.process.poll()
        task = {"run_id": self.number * 10, "task_key": "dlops"}
        known: dict[str, Any] = {"run_id": self.number, "tasks": [task]}
        known["run_page_url"] = f"{self._workspace.host}/jobs/runs/{self.number}"
        if ended is None:
            return {**known, "status": {"state": "RUNNING"}, "state": {"life_cycle_state": "RUNNING"}}
        code = self.code or ("SUCCESS" if ended == 0 else "RUN_EXECUTION_ERROR")
        details = {"code": code, "type": "SUCCESS" if ended == 0 else "CLIENT_ERROR", "message": self.message}
        return {**known, "status": {"state": "TERMINATED", "termination_details": details}}

    def output(self) -> dict[str, Any]:
        printed = self._log.read_text(errors="replace")
        logs, _, trace = printed.partition("Traceback (most recent call last):")
        return {"logs": logs[-5000:], **({"error": trace.splitlines()[-1], "error_trace": trace} if trace else {})}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._served()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names that the base class asks for

    def _served(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}" or self.server.expired:
                raise Refused(403, "PERMISSION_DENIED", "Invalid access token.")
            answer = self._answer(urlsplit(self.path), body)
        except Refused as refused:
            self._send(refused.status, {"error_code": refused.code, "message": str(refused)})
        except (KeyError, ValueError, TypeError) as error:
            self._send(400, {"error_code": "MALFORMED_REQUEST", "message": f"{type(error).__name__}: {error}"})
        else:
            if answer is not None:
                self._send(200, answer)

    def _answer(self, url: Any, body: bytes) -> dict[str, Any] | None:
        workspace, query = self.server, {name: values[0] for name, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        if path.startswith((databricks_endpoints.PATH, databricks_endpoints.CATALOG)):
            answer = workspace.serving.answer(self.command, path, query, body)
            return self._hung_up() if answer in ("cut", "lost") else answer
        if path.startswith("/api/2.0/mlflow/") and workspace.tracking_uri:
            return self._passed_on(url, body)
        if self.command in ("GET", "HEAD") and path.startswith("/api/2.0/fs/files/"):
            return self._read(workspace.place(path.removeprefix("/api/2.0/fs/files")))
        if self.command == "PUT" and path.startswith("/api/2.0/fs/files/"):
            return self._stored(path.removeprefix("/api/2.0/fs/files"), body)
        if path.startswith("/api/2.0/fs/directories/"):
            return self._directory(workspace.place(path.removeprefix("/api/2.0/fs/directories")))
        if self.command == "DELETE" and path.startswith("/api/2.0/fs/files/"):
            workspace.place(path.removeprefix("/api/2.0/fs/files")).unlink()
            return {}
        if path == "/api/2.0/workspace/delete":
            asked = json.loads(body)
            assert asked["recursive"] is True
            shutil.rmtree(self._there(workspace.place(asked["path"])))
            return {}
        if path == "/api/2.0/workspace/mkdirs":
            workspace.place(json.loads(body)["path"]).mkdir(parents=True, exist_ok=True)
            return {}
        if path == "/api/2.0/workspace/import":
            fields = _multipart(self.headers["Content-Type"], body)
            return self._stored(fields["path"].decode(), fields["content"])
        if path == "/api/2.0/secrets/get":
            value = workspace.secrets.get(f"{query['scope']}/{query['key']}")
            if value is None:
                raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "no such secret")
            return {"key": query["key"], "value": base64.b64encode(value.encode()).decode()}
        if path == "/api/2.2/jobs/runs/submit":
            return self._submitted(json.loads(body))
        if path == "/api/2.2/jobs/runs/get":
            return self._task(query["run_id"]).described()
        if path == "/api/2.2/jobs/runs/get-output":
            return self._task(str(int(query["run_id"]) // 10)).output()
        if path == "/api/2.2/jobs/runs/cancel":
            self._task(str(json.loads(body)["run_id"])).cancel("CANCELED")
            return {}
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"{self.command} {path}")

    def _directory(self, place: Path) -> dict[str, Any]:
        self._there(place)
        if self.command == "DELETE":
            place.rmdir()
            return {}
        here = f"/{place.relative_to(self.server.folder)}"
        return {
            "contents": [
                {"path": f"{here}/{file.name}", "is_directory": True}
                if file.is_dir()
                else {"path": f"{here}/{file.name}", "is_directory": False, "file_size": file.stat().st_size}
                for file in place.iterdir()
            ]
        }

    def _read(self, place: Path) -> None:
        if not place.is_file():
            raise Refused(404, "NOT_FOUND", f"no file {place.name}")
        self._send_bytes(200, "application/octet-stream", place.read_bytes())

    def _passed_on(self, url: Any, body: bytes) -> None:
        """Let a tracking server answer, but for what the service is stricter about."""
        if url.path.endswith("/experiments/create") and not json.loads(body)["name"].startswith("/"):
            raise Refused(
                400,
                "INVALID_PARAMETER_VALUE",
                "An experiment name must be an absolute path within the Databricks workspace, e.g. '/Users/me/films'.",
            )
        address = f"{self.server.tracking_uri}{url.path}?{url.query}"
        request = urllib.request.Request(address, body or None, method=self.command)
        request.add_header("Content-Type", self.headers.get("Content-Type") or "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self._send_bytes(answer.status, answer.headers["Content-Type"], answer.read())
        except urllib.error.HTTPError as error:
            self._send_bytes(error.code, error.headers["Content-Type"], error.read())
        except OSError:
            raise Refused(503, "TEMPORARILY_UNAVAILABLE", "the tracking server is away") from None

    def _there(self, place: Path) -> Path:
        if not place.is_dir():
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "no such directory")
        return place

    def _submitted(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        with self.server.lock:
            fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            raise Refused(fault, "REQUEST_LIMIT_EXCEEDED" if fault == 429 else "TEMPORARILY_UNAVAILABLE", "busy")
        number = self.server.submit(asked) if fault != "cut" else 0
        return self._hung_up() if fault in ("cut", "lost") else {"run_id": number}

    def _hung_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _task(self, number: str) -> Task:
        if int(number) not in self.server.runs:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Run {number} does not exist.")
        return self.server.runs[int(number)]

    def _stored(self, path: str, content: bytes) -> dict[str, Any]:
        place = self.server.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        self.server.received.append(path)
        return {}

    def _send(self, status: int, document: dict[str, Any]) -> None:
        self._send_bytes(status, "application/json", json.dumps(document).encode())

    def _send_bytes(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("Content-Length", str(len(body)))
        if status in (429, 503):
            self.send_header("Retry-After", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def _multipart(kind: str, body: bytes) -> dict[str, bytes]:
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


@contextlib.contextmanager
def running(folder: Path, tracking_uri: str = ""):
    """A workspace, as long as the context lasts; with the tracking server that answers for its MLflow."""
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(folder, tracking_uri)
    with serving(workspace):
        try:
            yield workspace
        finally:
            workspace.close()
