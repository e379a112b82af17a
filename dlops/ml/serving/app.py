"""The server's endpoints: MLflow's, its own, a page, and what machines ask."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from dlops import __version__
from dlops.errors import StepFailed
from dlops.ml.engines.engine import ALONE, Record, Row
from dlops.ml.engines.pool import QueueFull
from dlops.ml.engines.worker import EngineError, WorkerDied
from dlops.ml.serving import demo
from dlops.ml.serving.deployment import Deployment
from dlops.ml.serving.explainer import Explainer
from dlops.ml.serving.invocations import Invocations
from dlops.ml.serving.limits import Application, Limits
from dlops.ml.serving.metrics import CONTENT_TYPE, Metrics
from dlops.ml.serving.peers import Alone, Peers, PeersAwayError
from dlops.ml.serving.schemas import (
    ExplainRequest,
    ExplainResponse,
    FeedbackRequest,
    FeedbackResponse,
    PredictRequest,
    PredictResponse,
    Problem,
)
from dlops.ml.serving.traffic import Traffic, share
from dlops.ml.serving.traffic_log import TrafficLog
from dlops.ml.settings import Serve

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": told}
    for status, told in {
        400: "The model cannot answer this.",
        401: "A token is needed.",
        408: "The request did not come in time.",
        413: "The request is too large.",
        422: "A field is wrong.",
        500: "The process that answered ended.",
        503: "Too many texts wait, or the model is not ready; Retry-After says when to try again.",
        504: "The answer took too long.",
    }.items()
}


class Server:
    """What the endpoints share."""

    def __init__(self, settings: Serve, *, token: str | None = None, peers: Peers | None = None) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.traffic = Traffic(settings, self.metrics)
        self.metrics.watch(waiting=lambda: self.traffic.waiting, replaced=lambda: self.traffic.replaced)
        self.invocations = Invocations(seconds=settings.time_limit)
        self.explainer = Explainer(settings)
        self.log: TrafficLog | None = None
        self.ready = False
        """Whether the model has answered."""
        self.token, self.peers = token, peers or Alone()

    async def open(self) -> None:
        """Make the models ready.

        Raises:
            StepFailed: one cannot answer.
        """
        if self.settings.log_to:
            self.log = TrafficLog(
                self.settings.log_to, texts=self.settings.log_texts, seconds=self.settings.log_seconds
            )
            log = self.log
            self.metrics.watch_log(waiting=lambda: log.waiting, dropped=lambda: log.dropped)
        await self.traffic.open()
        self.ready = True

    async def close(self) -> None:
        """End all processes, and write what is to be logged."""
        await self.traffic.close()
        await self.explainer.close()
        self.invocations.close()
        if self.log:
            await asyncio.to_thread(self.log.close)

    async def answers(
        self, request: Request, rows: Sequence[Row], key: str, endpoint: str
    ) -> tuple[list[Record], Deployment]:
        """Answer rows, count them, and log them.

        Raises:
            HTTPException: they cannot be answered.
            EngineError: the model refuses one.
        """
        if not self.ready:
            raise self.refusal(503, "The model is not ready yet.", "not_ready", seconds=1.0)
        if len(rows) > self.settings.max_rows:
            raise HTTPException(413, f"The request has {len(rows)} texts, more than {self.settings.max_rows}.")
        began = time.perf_counter()
        try:
            found, by = await self.traffic.answers(rows, key)
        except (QueueFull, TimeoutError) as error:
            raise self.late(error) from error
        except WorkerDied as error:
            raise self.refusal(500, f"The text could not be answered: {error}.", "process_died") from error
        except EngineError:
            self.metrics.error("engine")
            raise
        identity = request.state.request_id
        answered_by = by.model.version or by.model.uri
        self.metrics.answered(answered_by, len(rows))
        self.peers.remember(
            {f"{identity}:{place}": (record.get("label"), answered_by) for place, record in enumerate(found)}
        )
        if self.log and sampled(identity, self.settings.log_share):
            milliseconds = 1000 * (time.perf_counter() - began)
            for place, (row, record) in enumerate(zip(rows, found, strict=True)):
                self._log_answer(self.log, endpoint, identity, place, key, row, record, by, milliseconds)
        return found, by

    @staticmethod
    def _log_answer(
        log: TrafficLog,
        endpoint: str,
        identity: str,
        place: int,
        key: str,
        row: Row,
        record: Record,
        by: Deployment,
        milliseconds: float,
    ) -> None:
        log.add(
            kind="answer",
            request_id=identity,
            row=place,
            endpoint=endpoint,
            key=None if key == identity else key,
            text=row[0],
            text_pair=row[1] if len(row) > 1 else None,
            label=record.get("label"),
            score=record.get("score"),
            scores=record.get("scores"),
            model=by.model.name or by.model.uri,
            model_version=by.model.version,
            engine=by.kept.told.form,
            milliseconds=milliseconds,
        )

    def late(self, error: QueueFull | TimeoutError) -> HTTPException:
        """Say that too much is asked, or that it took too long."""
        if isinstance(error, QueueFull):
            return self.refusal(503, "Too many texts wait.", "queue_full", seconds=error.seconds)
        return self.refusal(504, f"The answer took longer than {self.settings.time_limit:g} seconds.", "time_limit")

    def refusal(self, status: int, told: str, reason: str, *, seconds: float | None = None) -> HTTPException:
        """Count what is not answered, and say why."""
        self.metrics.error(reason)
        headers = None if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}
        return HTTPException(status, told, headers)


def sampled(identity: str, wanted: float) -> bool:
    """Say whether a request is among the share that is logged."""
    return share(f"log {identity}") < wanted


def create(server: Server) -> Application:
    """Make the application of a server."""
    app = FastAPI(
        title="dlops serve",
        version=__version__,
        description="Answers texts with a registered model.",
        docs_url=None,
        redoc_url=None,
    )
    _health(app, server)
    _mlflow(app, server)
    _own(app, server)
    _pages(app, server)
    settings = server.settings
    return Limits(
        app,
        server.metrics,
        token=server.token,
        most_bytes=int(settings.max_body_mb * 1_000_000),
        seconds=settings.time_limit,
    )


def _named(response: Response, by: Deployment) -> None:
    response.headers["X-Model-Version"] = by.model.version or ""
    response.headers["X-Model-Name"] = quote(by.model.name or by.model.uri, safe=":/")
    response.headers["X-Engine"] = by.kept.told.form


def _key(request: Request, told: str | None) -> str:
    return told or request.headers.get("x-key") or request.state.request_id


def _health(app: FastAPI, server: Server) -> None:
    def alive() -> Response:
        status = 200 if server.ready else 503
        return Response(
            "\n", status, media_type="application/json", headers={} if server.ready else {"Retry-After": "1"}
        )

    @app.get("/ping", response_class=Response, responses={503: {"description": "The model is not ready."}})
    async def ping() -> Response:
        """Tell whether the model has answered."""
        return alive()

    @app.get("/health", response_class=Response, responses={503: {"description": "The model is not ready."}})
    async def health() -> Response:
        """Tell whether the model has answered."""
        return alive()

    @app.get("/version", response_class=Response, responses={401: _PROBLEMS[401]})
    async def versions(accept: Annotated[str, Header()] = "") -> Response:
        """Give MLflow's version, as MLflow's server does; as JSON, if that is asked for, which models answer."""
        if "application/json" not in accept:
            return Response(version("mlflow"), media_type="application/json")
        return JSONResponse(
            {
                "mlflow": version("mlflow"),
                "dlops": __version__,
                **{
                    role: {**one.document(), "milliseconds": one.kept.milliseconds}
                    for role, one in server.traffic.roles.items()
                },
            }
        )

    @app.get("/metrics", response_class=Response, responses={401: _PROBLEMS[401]})
    async def metrics() -> Response:
        """Give counters and gauges for Prometheus."""
        told = await server.peers.metrics(server.metrics.text())
        return Response(told, headers={"Content-Type": CONTENT_TYPE})


def _mlflow(app: FastAPI, server: Server) -> None:
    example = {"dataframe_split": {"columns": ["text"], "data": [["A wonderful film."]]}}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": {}, "example": example}}}}

    @app.post(
        "/invocations",
        response_class=Response,
        openapi_extra=body,
        responses={**_PROBLEMS, 415: {"description": "It is none of the types that MLflow reads."}},
    )
    async def invocations(request: Request) -> Response:
        """Answer as MLflow's server does: dataframe_split, dataframe_records, instances, inputs, CSV."""
        by = server.traffic.champion

        async def answer(rows: Sequence[Row]) -> list[Record]:
            nonlocal by
            found, by = await server.answers(request, rows, _key(request, None), "/invocations")
            return found

        if by is None:
            await answer([])
        assert by
        try:
            told = await server.invocations.respond(
                await request.body(), request.headers.get("content-type", ""), by.kept.told.columns, by.folder, answer
            )
        except (QueueFull, TimeoutError) as error:  # before any row of it was asked for
            raise server.late(error) from error
        response = Response(told.body, told.status, media_type=told.type)
        _named(response, by)
        return response


def _own(app: FastAPI, server: Server) -> None:
    def checked(rows: Sequence[Row]) -> None:
        champion = server.traffic.champion
        columns = champion.kept.told.columns if champion else ("text",)
        if rows and len(rows[0]) != len(columns):
            wanted = "pairs: text and text_pair" if len(columns) > 1 else "single texts"
            raise HTTPException(422, f"The model takes {wanted}.")

    @app.post("/predict", response_model=PredictResponse, responses=_PROBLEMS)
    async def predict(asked: PredictRequest, request: Request) -> Response:
        """Answer one text, or several."""
        rows = asked.rows()
        checked(rows)
        try:
            found, by = await server.answers(request, rows, _key(request, asked.key), "/predict")
        except EngineError as error:
            raise HTTPException(400, f"The model cannot answer this: {error}") from error
        identity = request.state.request_id
        records = [{"id": f"{identity}:{place}", "label": None, **record} for place, record in enumerate(found)]
        for record in records:
            record.pop(ALONE, None)
        document = {"request_id": identity, "model": by.document(), "predictions": records}
        response = Response(json.dumps(document), media_type="application/json")
        _named(response, by)
        return response

    @app.post("/explain", response_model=ExplainResponse, responses={**_PROBLEMS, 404: _PROBLEMS[400]})
    async def explain(asked: ExplainRequest, request: Request) -> Response:
        """Tell what of a text the model's answer rests on."""
        if not server.settings.explain:
            raise HTTPException(404, "This server does not explain (explain=false).")
        if not server.ready:
            raise HTTPException(503, "The model is not ready yet.", {"Retry-After": "1"})
        checked([[asked.text]])
        by = server.traffic.chosen(_key(request, asked.key))
        try:
            found = await server.explainer.explain(by, asked.text, asked.label or "", asked.method)
        except (EngineError, StepFailed) as error:
            raise HTTPException(422, str(error).partition(": ")[2] or str(error)) from error
        except QueueFull as error:
            retry = {"Retry-After": str(max(1, math.ceil(error.seconds)))}
            raise HTTPException(503, "Too many texts wait to be explained.", retry) from error
        except TimeoutError as error:
            raise HTTPException(504, "The explanation took too long.") from error
        except WorkerDied as error:
            raise HTTPException(500, f"The text could not be explained: {error}.") from error
        response = JSONResponse({"request_id": request.state.request_id, "model": by.document(), **found})
        _named(response, by)
        return response

    @app.post(
        "/feedback",
        response_model=FeedbackResponse,
        responses={**_PROBLEMS, 404: {"model": Problem, "description": "No answer has this id."}},
    )
    async def feedback(asked: FeedbackRequest) -> Response:
        """Take the true label of an earlier answer."""
        identity = asked.id if ":" in asked.id else f"{asked.id}:0"
        try:
            answered = await server.peers.recall(identity)
        except PeersAwayError as error:
            raise server.refusal(503, "Who answered cannot be asked now.", "peers_away", seconds=5.0) from error
        if answered is None:
            raise HTTPException(404, f"No answer of late has the id {asked.id!r}.")
        predicted, answered_by = answered
        correct = bool(predicted == asked.label)
        server.metrics.feedback(answered_by, correct=correct)
        if server.log:
            whole, _, place = identity.rpartition(":")
            server.log.add(
                kind="feedback",
                request_id=whole,
                row=int(place),
                endpoint="/feedback",
                label=predicted,
                true_label=asked.label,
                model_version=answered_by,
            )
        return JSONResponse({"id": identity, "predicted": predicted, "correct": correct})


def _pages(app: FastAPI, server: Server) -> None:
    import swagger_ui_bundle

    app.mount("/docs/assets", StaticFiles(directory=Path(str(swagger_ui_bundle.swagger_ui_path))))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="dlops serve",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="data:,",
        )

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        champion = server.traffic.champion
        found = demo.page(
            nonce,
            pairs=bool(champion and len(champion.kept.told.columns) > 1),
            explains=server.settings.explain,
            needs_token=server.token is not None,
        )
        return HTMLResponse(found, headers=demo.headers(nonce))
