"""Model Serving of a Databricks workspace: `serve` makes an endpoint there, or gives one another configuration."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlops.errors import ConfigError, UnreachableError
from dlops.targets import stores
from dlops.targets.interface import State
from dlops.targets.workspace import DatabricksSettings, Workspace
from dlops.worker import masking, tracking
from dlops.worker.job import Job

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service import serving

_KIND = "databricks-endpoint"
_OWNER = "dlops_run"
"""Tag of an endpoint: the run that is about it."""
_UNDERSTOOD = ("model", "challenger", "split", "log_to", "log_texts")
"""Parameters that mean something to an endpoint."""
_SIZES = ("Small", "Medium", "Large")
_PARTS = 3
"""Of a name in Unity Catalog."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 63
_MODEL = re.compile(r"models:/(?P<name>[^/@]+)[/@][^/@]+")
_PATIENCE = 15.0


@dataclass(frozen=True)
class _Served:
    """A version that answers."""

    role: str
    """The parameter that names it."""
    name: str
    version: str
    percent: int
    """Its share of the requests."""

    @property
    def entity(self) -> str:
        """Its name in the endpoint; where it is too long, its end, which has the version."""
        return _NOT_IN_NAMES.sub("-", f"{self.name}-{self.version}")[-_LONGEST:]


class DatabricksEndpoint:
    """Model Serving as a cluster, whose jobs are endpoints."""

    is_workspace = True

    def __init__(self, name: str, settings: DatabricksSettings) -> None:
        self.name, self.settings = name, settings
        self._workspace = Workspace(name, settings)
        self.on_loopback = self._workspace.on_loopback

    def problems(self, job: Job) -> list[str]:
        """Check what needs no answer of the workspace."""
        return [
            *self._of_settings(),
            *self._workspace.problems(job),
            *self._of_variables(job),
            *self._of_registry(job),
            *self._of_models(job),
            *self._of_parameters(job),
        ]

    def submit(self, job: Job, package: Path, key: str) -> str:  # noqa: ARG002 - the model is all that goes there
        """Make the endpoint, or update the one that is there; both begin only, and go on in the workspace.

        Raises:
            UnreachableError: the registry or the workspace does not answer, or refuses.
            ConfigError: the endpoint is no run's, or one version was named twice.
        """
        served = self._served(job)
        name = self._endpoint(job)

        def deploy(client: WorkspaceClient) -> str:
            before = self._deploy(client, name, job, served)
            models = {each.role: f"models:/{each.name}/{each.version}" for each in served}
            entities = [each.entity for each in served]
            found = {"endpoint": name, "run": job.run_id, "models": models, "entities": entities, "before": before}
            return json.dumps({"kind": _KIND, "host": client.config.host, **found})

        return self._workspace.asked(deploy)

    def owns(self, handle: str) -> bool:
        """Compare the addresses of the workspaces."""
        found = json.loads(handle)
        return bool(found.get("kind") == _KIND and found.get("host") == self._workspace.host())

    def page(self, handle: str) -> str:
        """Give the address of the endpoint's page."""
        found = json.loads(handle)
        return f"{found['host']}/ml/endpoints/{found['endpoint']}"

    def state(self, handle: str) -> State:
        """Ask the workspace; of an endpoint that is another run's by now, its own part is over."""
        told = json.loads(handle)
        return _state(self._workspace.asked(lambda client: _found(client, told["endpoint"])), told)

    def stop(self, handle: str) -> None:
        """Delete the endpoint, unless it is another run's by now."""
        told = json.loads(handle)

        def delete(client: WorkspaceClient) -> None:
            found = _found(client, told["endpoint"])
            if found and _owner(found) == told["run"]:
                client.serving_endpoints.delete(told["endpoint"])

        self._workspace.asked(delete)

    def tidy(self, handle: str) -> None:
        """Do nothing: nothing was sent."""

    def log(self, handle: str) -> str:
        """Give what the workspace has kept of how each version's image was built, and of what its server printed."""
        told = json.loads(handle)

        def ask(client: WorkspaceClient) -> str:
            asked = client.serving_endpoints
            kinds = {"build": asked.build_logs, "server": asked.logs}
            found = {
                f"{entity}, {kind}": _logs(get, told["endpoint"], entity)
                for entity in told["entities"]
                for kind, get in kinds.items()
            }
            return "".join(f"== {what}\n{text.rstrip()}\n" for what, text in found.items() if text.strip())

        return self._workspace.asked(ask)

    def _of_settings(self) -> list[str]:
        from databricks.sdk.service.serving import ServingModelWorkloadType

        found, chosen = [], self.settings
        if chosen.endpoint and not _NAME.fullmatch(chosen.endpoint):
            found.append(f"endpoint is up to {_LONGEST} letters, digits, - and _, not {chosen.endpoint!r}")
        if chosen.workload_size not in _SIZES:
            found.append(f"workload_size is one of {', '.join(_SIZES)}, not {chosen.workload_size}")
        kinds = [each.value for each in ServingModelWorkloadType]
        if chosen.workload_type not in kinds:
            found.append(f"workload_type is one of {', '.join(kinds)}, not {chosen.workload_type}")
        return [f"the target {self.name}: {problem}" for problem in found]

    def _of_variables(self, job: Job) -> list[str]:
        open_to_see = [name for name in job.variables if masking.is_secret(name)]
        return [
            f"{name} would be seen in the endpoint's settings: keep it in the workspace, and name it under secrets:"
            for name in open_to_see
        ]

    def _of_registry(self, job: Job) -> list[str]:
        """The endpoint takes models from its own workspace alone, and MLflow's client looks there for what they are."""
        registry = stores.registry(job.tracking_uri)
        if not registry.startswith("databricks"):
            return [
                f"an endpoint of {self.name} serves models of that workspace, and those of {masking.url(registry)} are"
                f" elsewhere: export MLFLOW_REGISTRY_URI={stores.CATALOG}"
            ]
        if "://" in registry:
            return []
        told = job.tracking_uri == "databricks"  # and so it is of the tracking store
        unknown = [] if told else self._workspace.unknown_to_mlflow(f"model registry {registry}")
        host, named = self.settings.host.rstrip("/"), os.environ.get("DATABRICKS_HOST", "").rstrip("/")
        if host and host != named and "DATABRICKS_CONFIG_PROFILE" not in os.environ:
            unknown = [f"the model registry {registry} is found by a variable: export DATABRICKS_HOST={host}"]
        return unknown

    def _of_models(self, job: Job) -> list[str]:
        """Check that there are names of registered models, and that one of an endpoint comes of them."""
        found = [
            f"{role}={job.params.get(role, '')}: an endpoint serves registered models, models:/NAME@ALIAS or"
            " models:/NAME/VERSION"
            for role in _roles(job)
            if not _MODEL.fullmatch(job.params.get(role, ""))
        ]
        if not found and not _NAME.fullmatch(name := self._endpoint(job)):
            found.append(f"{name!r} is no name of an endpoint: the target {self.name} may have endpoint: NAME")
        return found

    def _of_parameters(self, job: Job) -> list[str]:
        found = []
        if strange := [name for name in job.changed if name not in _UNDERSTOOD]:
            found.append(
                f"{', '.join(strange)}: an endpoint of {self.name} has no such setting; leave it out (what there is"
                " stands in the target: workload_size, workload_type, scale_to_zero)"
            )
        if "challenger" in _roles(job) and (share := _percent(job)) % 1:
            found.append(f"split={job.params['split']}: Databricks splits by whole percentages, and this is {share} %")
        if table := job.params.get("log_to"):
            if len(list(filter(None, _parts(table)))) != _PARTS:
                found.append(f"log_to={Path(table).name}: an inference table is named CATALOG.SCHEMA.PREFIX")
            if job.params.get("log_texts", "full") != "full":
                found.append("an inference table keeps the texts as they are: say so by log_texts=full")
        return found

    def _endpoint(self, job: Job) -> str:
        """Give the endpoint's name: the target's, else the model's whole one, which no other model has."""
        model = _MODEL.fullmatch(job.params["model"])
        return self.settings.endpoint or _NOT_IN_NAMES.sub("-", model["name"] if model else "")

    def _served(self, job: Job) -> list[_Served]:
        """Find which versions are meant now, in the job's registry.

        Raises:
            UnreachableError: it does not answer, or knows no such model.
            ConfigError: there is one version twice.
        """
        share = int(_percent(job)) if "challenger" in _roles(job) else 0
        percents = {"model": 100 - share, "challenger": share}
        found = [_Served(role, *_version(job, job.params[role]), percents[role]) for role in _roles(job)]
        if len({each.entity for each in found}) < len(found):
            raise ConfigError(
                f"model and challenger are the same version: {found[0].name} {found[0].version}.",
                hint="Leave challenger= out, or name another version.",
            )
        return found

    def _deploy(self, client: WorkspaceClient, name: str, job: Job, served: list[_Served]) -> int:
        """Have the endpoint made or updated; give the number of the configuration that it had before, 0 without one."""
        from databricks.sdk.errors import ResourceConflict
        from databricks.sdk.service.serving import AiGatewayConfig, EndpointCoreConfigInput, EndpointTag

        entities, traffic, table = self._entities(job, served), _traffic(served), _table(job)
        found = _found(client, name)
        if found is None:
            try:
                client.serving_endpoints.create(
                    name,
                    config=EndpointCoreConfigInput(name=name, served_entities=entities, traffic_config=traffic),
                    ai_gateway=AiGatewayConfig(inference_table_config=table) if table else None,
                    tags=[EndpointTag(_OWNER, job.run_id)],
                )
                return 0
            except ResourceConflict:  # an answer was lost, or somebody was faster
                found = _found(client, name)
                if found is None:
                    raise
        if _owner(found) == job.run_id:
            return 0
        self._refuse(found, name)
        before = _config_version(found)
        try:
            client.serving_endpoints.update_config(name, served_entities=entities, traffic_config=traffic)
        except ResourceConflict:
            found = _found(client, name)
            if found is None or not _is_under_way(found, served):  # else an answer was lost
                raise
        if table:
            _keep_requests(client, found, name, table)
        client.serving_endpoints.patch(name, add_tags=[EndpointTag(_OWNER, job.run_id)])
        return before

    def _refuse(self, found: serving.ServingEndpointDetailed, name: str) -> None:
        """Refuse to update what is not ours to update, or not now.

        Raises:
            ConfigError: no run made the endpoint, and the target does not name it.
            UnreachableError: another update goes on.
        """
        owner = _owner(found)
        if not owner and not self.settings.endpoint:
            raise ConfigError(
                f"The workspace has an endpoint {name} already, which no run of dlops has made.",
                hint=f"`endpoint: {name}` of the target {self.name} says that it may be taken over, `endpoint:` with"
                " another name leaves it alone.",
            )
        if _update(found) == "IN_PROGRESS":
            whose = f"by run {owner}" if owner else "by somebody else"
            raise UnreachableError(
                f"The endpoint {name} is being updated {whose}; Databricks makes one update at a time.",
                hint="Wait until it is done, or end that one first: `dlops cancel`.",
            )

    def _entities(self, job: Job, served: list[_Served]) -> list[serving.ServedEntityInput]:
        from databricks.sdk.service.serving import ServedEntityInput, ServingModelWorkloadType

        secrets = {name: f"{{{{secrets/{place}}}}}" for name, place in self.settings.secrets.items()}
        return [
            ServedEntityInput(
                name=each.entity,
                entity_name=each.name,
                entity_version=each.version,
                workload_size=self.settings.workload_size,
                workload_type=ServingModelWorkloadType(self.settings.workload_type),
                scale_to_zero_enabled=self.settings.scale_to_zero,
                environment_vars={**job.variables, **secrets} or None,
            )
            for each in served
        ]


def _roles(job: Job) -> list[str]:
    return ["model", *(["challenger"] if job.params.get("challenger") else [])]


def _percent(job: Job) -> Decimal:
    return Decimal(job.params.get("split") or "0") * 100


def _version(job: Job, reference: str) -> tuple[str, str]:
    """Give name and version that a reference stands for now."""

    def ask() -> tuple[str, str]:
        client = tracking.connect(job.tracking_uri, job.lock_folder)
        from mlflow.store.artifact.utils.models import get_model_name_and_version

        name, version = get_model_name_and_version(client, reference)
        return str(name), str(version)

    try:
        return tracking.patiently(ask, seconds=_PATIENCE)
    except tracking.Unreachable as error:
        raise UnreachableError(
            f"The registry does not say what {reference} is: {error}", hint="`dlops models` lists those there are."
        ) from error


def _traffic(served: list[_Served]) -> serving.TrafficConfig:
    from databricks.sdk.service.serving import Route, TrafficConfig

    return TrafficConfig(
        routes=[Route(served_entity_name=each.entity, traffic_percentage=each.percent) for each in served]
    )


def _parts(table: str) -> list[str]:
    """Split the name of a table, which the plan has taken for one in the user's data folder."""
    return Path(table).name.split(".")


def _table(job: Job) -> serving.AiGatewayInferenceTableConfig | None:
    from databricks.sdk.service.serving import AiGatewayInferenceTableConfig

    if not job.params.get("log_to"):
        return None
    catalog, schema, prefix = _parts(job.params["log_to"])
    return AiGatewayInferenceTableConfig(
        enabled=True, catalog_name=catalog, schema_name=schema, table_name_prefix=prefix
    )


def _keep_requests(
    client: WorkspaceClient,
    found: serving.ServingEndpointDetailed,
    name: str,
    table: serving.AiGatewayInferenceTableConfig,
) -> None:
    """Give an endpoint that is there an inference table, and leave what else its gateway does."""
    has = found.ai_gateway
    client.serving_endpoints.put_ai_gateway(
        name,
        inference_table_config=table,
        fallback_config=has.fallback_config if has else None,
        guardrails=has.guardrails if has else None,
        rate_limits=has.rate_limits if has else None,
        usage_tracking_config=has.usage_tracking_config if has else None,
    )


def _found(client: WorkspaceClient, name: str) -> serving.ServingEndpointDetailed | None:
    from databricks.sdk.errors import NotFound

    try:
        return client.serving_endpoints.get(name)
    except NotFound:
        return None


def _logs(get: Any, endpoint: str, entity: str) -> str:
    """Give a log; there is none before there is something to write it, and of a version that is no longer there."""
    from databricks.sdk.errors import BadRequest, NotFound

    try:
        return str(get(endpoint, entity).logs or "")
    except (NotFound, BadRequest):
        return ""


def _owner(found: serving.ServingEndpointDetailed) -> str:
    return next((tag.value or "" for tag in found.tags or [] if tag.key == _OWNER), "")


def _update(found: serving.ServingEndpointDetailed) -> str:
    """Say how far a change of the configuration is; empty where this is not known."""
    return found.state.config_update.value if found.state and found.state.config_update else ""


def _is_ready(found: serving.ServingEndpointDetailed) -> bool:
    return bool(found.state and found.state.ready and found.state.ready.value == "READY")


def _is_under_way(found: serving.ServingEndpointDetailed, served: list[_Served]) -> bool:
    """Say whether an endpoint is being given this very configuration."""
    pending = found.pending_config
    routes = pending.traffic_config.routes if pending and pending.traffic_config else None
    shares = {route.served_entity_name or route.served_model_name: route.traffic_percentage for route in routes or []}
    return shares == {each.entity: each.percent for each in served}


def _state(found: serving.ServingEndpointDetailed | None, told: dict[str, Any]) -> State:
    name, owner = told["endpoint"], _owner(found) if found else ""
    tags = {f"dlops.resolved.{role}": uri for role, uri in told["models"].items()}
    if found is None:
        word = f"ended: its endpoint {name} was deleted in the workspace"
        return State(over=True, text=f"The endpoint {name} was deleted.", cancelled=True, word=word)
    if owner != told["run"]:
        whose = f"run {owner}" if owner else "somebody else, whose run it is not marked with,"
        word = f"ended: {whose} has taken its endpoint {name} over"
        return State(over=True, text=f"The endpoint {name} is another's.", cancelled=True, word=word)
    update, ready, run = _update(found), _is_ready(found), told["run"]
    url = found.endpoint_url or f"{told['host']}/serving-endpoints/{name}/invocations"
    broken_off = {"UPDATE_FAILED": "failed", "UPDATE_CANCELED": "was cancelled"}.get(update)
    if broken_off and ready and _serves(found, told) and _config_version(found) > told.get("before", 0):
        text = f"The endpoint {name} answers: {url} (a later update of it {broken_off})"
        return State(over=False, text=text, ready=True, tags={**tags, "dlops.output.url": url})
    if update == "UPDATE_CANCELED":
        rest = f"; it goes on answering as before, and `dlops cancel {run}` deletes it" if ready else ""
        word = f"ended: the update of its endpoint {name} was cancelled in the workspace{rest}"
        return State(over=True, text=f"The update of {name} was cancelled.", cancelled=True, word=word, left=True)
    if update == "UPDATE_FAILED":
        rest = f" It goes on answering as before; `dlops cancel {run}` deletes it." if ready else ""
        text = f"The endpoint {name} could not be given its configuration{_entities_told(found)}.{rest}"
        return State(over=True, text=text, tags=tags, left=True)
    if update == "IN_PROGRESS" or not ready:
        what = "is being updated" if ready else "is being made ready"
        return State(over=False, text=f"The endpoint {name} {what}{_entities_told(found)}…", tags=tags)
    if not _serves(found, told):
        return State(over=False, text=f"The endpoint {name} has not got this run's configuration.", tags=tags)
    tags["dlops.output.url"] = url
    return State(over=False, text=f"The endpoint {name} answers: {url}", ready=True, tags=tags)


def _serves(found: serving.ServingEndpointDetailed, told: dict[str, Any]) -> bool:
    """Say whether an endpoint has all versions of a run."""
    return {each.name for each in (found.config and found.config.served_entities) or []}.issuperset(told["entities"])


def _config_version(found: serving.ServingEndpointDetailed | None) -> int:
    """Give the number of the configuration that an endpoint has; 0 where it has none yet."""
    return (found and found.config and found.config.config_version) or 0


def _entities_told(found: serving.ServingEndpointDetailed) -> str:
    """Tell how each version is that the endpoint is to have: ` (films-3: DEPLOYMENT_CREATING …)`."""
    config = found.pending_config or found.config
    states = [(each.name, each.state) for each in (config and config.served_entities) or []]
    told = [
        f"{name}: {state.deployment.value if state.deployment else ''} {state.deployment_state_message or ''}".strip()
        for name, state in states
        if state
    ]
    return f" ({'; '.join(told)})" if told else ""
