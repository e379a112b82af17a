"""The server as replicas on the nodes of a Ray cluster: Ray Serve starts and replaces them, behind one address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import ray
from ray import serve
from ray.exceptions import ActorDiedError, RayError
from ray.serve.config import AutoscalingConfig, HTTPOptions
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dlops.errors import StepFailed, UnreachableError
from dlops.ml import ray_nodes
from dlops.ml.engines import devices, served
from dlops.ml.progress import say
from dlops.ml.serving import listening
from dlops.ml.serving.app import Server, create
from dlops.ml.serving.limits import Application, Message, Receive, Scope, Send
from dlops.ml.serving.metrics import merged
from dlops.ml.serving.peers import Answer, Memory, PeersAwayError
from dlops.ml.settings import Serve

_MORE = ("DLOPS_HOME", "TRANSFORMERS_", "OMP_", "AWS_", "AZURE_", "GOOGLE_")
"""Beginnings of the names of further variables that replicas get."""
_REPORT = 1.0
"""Seconds between the reports of a replica."""
_SILENCE = 60.0
"""Seconds for which a cluster that says nothing is asked again."""
_LOST = 5
"""Reports that a replica has missed when it counts as gone."""
_TRIES = 3
"""Times that a replica which cannot be made ready is started again."""
_ROOM = 2048
"""Requests that are let through to a replica: how many may wait is for the server to say, and to tell."""
_DEEP = 2
"""Requests of each process that a replica has before others are added."""
_ALIKE = {f"RAY_SERVE_PROXY_PREFER_LOCAL_{near}_ROUTING": "0" for near in ("NODE", "AZ")}
"""What lets Ray Serve give a request to an idle replica, not to that of the node where it came in, however busy: most
clients know one address, and the other replicas would have nothing to do."""
_AFTER = 5.0
"""Seconds beyond those of the draining after which a replica is killed."""


def run(settings: Serve, ready: listening.Ready) -> None:
    """Serve until somebody ends this process; `ready` is told the URL once a replica can answer.

    Raises:
        StepFailed: the model cannot answer, or somebody else removed the server.
        UnreachableError: the cluster is lost.
        UsageError: the token, the certificate or its key is none.
    """
    settings = replace(settings, path="/" + settings.path.strip("/"))
    token = listening.token(settings)
    listening.check_certificate(settings)
    model = served.resolve(settings.model)  # what is not there is told before anything is started
    with _connected():
        began = _begun(settings)
        name = re.sub(r"[^\w.-]+", "-", f"dlops-{model.name or model.uri}{settings.path}").rstrip("-")
        _refuse_taken(name, settings.path)
        desk = _desk()
        try:
            serve.run(_application(settings, token, desk, name), name=name, route_prefix=settings.path)
            ready(_url(settings), _champion(desk))
            _watch(name, desk)
        except (RuntimeError, RayServeException) as error:
            raise StepFailed(f"The replicas could not be made ready: {_why(desk, error)}") from error
        except RayError as error:
            raise UnreachableError(f"The Ray cluster does not answer any more: {_last_line(error)}.") from error
        finally:
            _end(name, with_serve=began)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    with listening.handlers_kept():  # Ray takes the signals, and would end the step as it does
        ray_nodes.connect(_ALIKE)
    try:
        yield
    finally:
        ray.shutdown()


def _begun(settings: Serve) -> bool:
    """Start Ray Serve, unless the cluster has it; say whether it had not.

    Raises:
        StepFailed: it has, without the certificate that is asked for.
    """
    try:
        found = _http()
    except RayServeException:
        options: dict[str, Any] = {"host": settings.host, "port": settings.port or ray_nodes.free_port()}
        if settings.tls_cert:
            options |= {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}
        serve.start(proxy_location="EveryNode", http_options=options)
        return True
    if settings.tls_cert and not getattr(found, "ssl_certfile", None):
        raise StepFailed(
            "The cluster's Ray Serve answers over plain HTTP, and all its servers do.",
            hint="Shut it down (`serve shutdown`) so that this one begins it with tls_cert=, or leave that out.",
        )
    if (found.host, found.port) != (settings.host, settings.port):
        say(f"The cluster's Ray Serve listens on {found.host}:{found.port} already: there this server is, too")
    return False


def _http() -> HTTPOptions:
    """Read where the cluster's Ray Serve listens.

    Raises:
        RayServeException: it has none.
    """
    client = _get_global_client()
    assert client
    found: HTTPOptions = client.http_config
    return found


def _refuse_taken(name: str, path: str) -> None:
    """Refuse a path that another application has.

    Raises:
        StepFailed: it has.
    """
    for other, found in serve.status().applications.items():
        taken = getattr(found, "route_prefix", None)
        if other == name or taken == path:
            raise StepFailed(
                f"The cluster serves {other} below {path} already.", hint="End that server, or name another path=/NAME."
            )


def _application(settings: Serve, token: str | None, desk: Any, name: str) -> serve.Application:
    workers = settings.workers or 1
    gpus = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
    most = max(settings.replicas, settings.max_replicas)
    size: dict[str, Any] = {"num_replicas": settings.replicas}
    if most > settings.replicas:
        growing = AutoscalingConfig(
            min_replicas=settings.replicas, max_replicas=most, target_ongoing_requests=_DEEP * workers
        )
        size = {"autoscaling_config": growing}
    deployed = serve.deployment(
        name="server",
        ray_actor_options={"num_cpus": workers, "num_gpus": 1 if gpus else 0},
        max_ongoing_requests=_ROOM
        + 2 * (settings.queue or devices.BURST * devices.WAITING * (settings.batch_size or 32) * workers),
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=settings.drain_seconds + _AFTER,
        max_constructor_retry_count=_TRIES,
        **size,
    )
    build = _builder(replace(settings, workers=workers), token, desk, name, ray_nodes.variables(*_MORE))
    return deployed(serve.ingress(build)()).bind()


def _builder(
    settings: Serve, token: str | None, desk: Any, name: str, environment: Mapping[str, str]
) -> Callable[[], Application]:
    """Give what makes the application, in the process of a replica: a plain function, as Ray Serve wants it."""

    def build() -> Application:
        os.environ.update(environment)
        return Replica(settings, token, desk, name)

    return build


class Replica:
    """The server in a process of Ray Serve's: it opens when that starts, and closes when it ends."""

    def __init__(self, settings: Serve, token: str | None, desk: Any, application: str) -> None:
        self._desk, self._name = desk, application
        self.server = Server(settings, token=token, peers=self)
        self._inside = create(self.server)
        self._memory = Memory()
        self._identity = f"{socket.gethostname()}-{os.getpid()}"
        self._reports: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as the server itself would."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._inside(scope, receive, send)

    def remember(self, answers: Mapping[str, Answer]) -> None:
        """Let all replicas know what was answered, so that each can take feedback to it."""
        self._memory.remember(answers)
        self._desk.remember.remote(dict(answers))

    async def recall(self, identity: str) -> Answer | None:
        """Give what this replica answered, or ask what another one did."""
        found = self._memory.recall(identity)
        try:
            return found or await self._desk.recall.remote(identity)
        except RayError as error:
            raise PeersAwayError(_last_line(error)) from error

    async def metrics(self, own: bytes) -> bytes:
        """Give the metrics of all replicas, each named; its own alone where the others cannot be asked."""
        try:
            await self._report(own)
            return merged(await self._desk.metrics.remote())
        except RayError:
            return merged({self._identity: own})

    async def _live(self, receive: Receive, send: Send) -> None:
        message: Message = await receive()
        assert message["type"] == "lifespan.startup"
        try:
            await self.server.open()
            await self._report()
        except Exception as error:
            await self._desk.failed.remote(str(error))
            await self.server.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        self._reports = asyncio.create_task(self._reporting())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._reports.cancel()
        await self.server.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _report(self, own: bytes = b"") -> None:
        roles = {role: one.document() for role, one in self.server.traffic.roles.items()}
        await self._desk.report.remote(self._identity, own or self.server.metrics.text(), roles)

    async def _reporting(self) -> None:
        """Report until the desk is gone: then the launched step is, whose server this was, and it is removed."""
        heard = time.monotonic()
        while True:
            await asyncio.sleep(_REPORT)
            try:
                await self._report()
                heard = time.monotonic()
            except ActorDiedError:
                break
            except RayError:  # the network may be gone for a moment
                if time.monotonic() > heard + _SILENCE:
                    break
        await asyncio.to_thread(serve.delete, self._name, _blocking=False)


class Desk(Memory):
    """What replicas tell one another, and the launched step: an actor, which ends with that step."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, tuple[float, bytes, dict[str, Any]]] = {}
        self._failure = ""

    def report(self, replica: str, metrics: bytes, roles: dict[str, Any]) -> None:
        """Take what a replica says of itself; forget those that say nothing any more."""
        now = time.monotonic()
        self._told[replica] = (now, metrics, roles)
        self._told = {name: told for name, told in self._told.items() if now - told[0] < _LOST * _REPORT}

    def failed(self, error: str) -> None:
        """Take why a replica could not begin."""
        self._failure = error

    def failure(self) -> str:
        """Give why the last one that could not begin did not."""
        return self._failure

    def metrics(self) -> dict[str, bytes]:
        """Give the metrics of each replica."""
        return {name: metrics for name, (_, metrics, _) in self._told.items()}

    def roles(self) -> dict[str, dict[str, Any]]:
        """Give the versions that each replica has, by their roles."""
        return {name: roles for name, (_, _, roles) in self._told.items()}


def _desk() -> Any:
    """Start the desk on this node, with which it ends."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Desk).options(num_cpus=0, scheduling_strategy=here).remote()


def _champion(desk: Any) -> dict[str, Any]:
    """Give the version that answers, as the first replica that reported says."""
    told: dict[str, dict[str, Any]] = ray.get(desk.roles.remote())
    return dict(next(iter(told.values()))["champion"])


def _watch(name: str, desk: Any) -> None:
    """Say which replicas have which version, until the application is gone.

    Raises:
        StepFailed: it is.
    """
    before: dict[str, str] = {}
    heard = time.monotonic()
    while True:
        try:
            if name not in serve.status().applications:
                raise StepFailed("Somebody else removed the server from the cluster.")
            now = {
                replica: ", ".join(f"{role} {one['version'] or one['uri']}" for role, one in roles.items())
                for replica, roles in ray.get(desk.roles.remote()).items()
            }
        except RayError:  # what keeps the cluster's record may be restarted
            if time.monotonic() > heard + _SILENCE:
                raise
            time.sleep(_REPORT)
            continue
        heard = time.monotonic()
        for replica in sorted(before.keys() | now.keys()):
            if now.get(replica) != before.get(replica):
                say(f"Replica {replica}: {now.get(replica, 'ended')}")
        before = now
        time.sleep(_REPORT)


def _end(name: str, *, with_serve: bool) -> None:
    """Remove the server, every request answered; and Ray Serve, if it began for it and has nothing else."""
    with contextlib.suppress(RayError, RayServeException, RuntimeError, TimeoutError):
        serve.delete(name)
        if with_serve and not serve.status().applications:
            serve.shutdown()  # type: ignore[no-untyped-call]


def _why(desk: Any, error: Exception) -> str:
    with contextlib.suppress(RayError):
        if told := ray.get(desk.failure.remote()):
            return str(told)
    return _last_line(error)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].rstrip(".")


def _url(settings: Serve) -> str:
    """Give the address at the cluster's head: each node that has a replica answers under its own, too."""
    options = _http()
    host = options.host or ""
    if host in ("0.0.0.0", "::"):  # noqa: S104
        heads = [node for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]  # type: ignore[no-untyped-call]
        host = heads[0]["NodeManagerAddress"] if heads else socket.gethostname()
    scheme = "https" if getattr(options, "ssl_certfile", None) else "http"
    return f"{scheme}://{listening.bracketed(host)}:{options.port}{settings.path.rstrip('/')}"
