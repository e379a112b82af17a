"""Model Serving and Unity Catalog of the stand-in for a workspace: endpoints that become ready, or do not, in time.

Requests are held to the SDK's dataclasses, and to what the service says of names, shares and updates at once. No model
is run.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from databricks.sdk.service import serving

PATH = "/api/2.0/serving-endpoints"
CATALOG = "/api/2.0/mlflow/unity-catalog/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SIZES = ("Small", "Medium", "Large")
_OF_A_MODEL = {"name", "entity_name", "entity_version", "workload_size", "workload_type", "scale_to_zero_enabled"}
_MOST = 10
"""Served entities of an endpoint."""


class Refused(Exception):
    """A request that the service would not take."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Endpoint:
    """One endpoint: what it serves, and what it is to serve next."""

    def __init__(self, name: str, tags: list[dict[str, str]], gateway: dict[str, Any]) -> None:
        self.name, self.gateway = name, gateway
        self.tags = {tag["key"]: tag.get("value", "") for tag in tags}
        self.config: dict[str, Any] = {}
        self.pending: dict[str, Any] = {}
        self.failed = ""
        self.versions = 0
        self.due = 0.0

    def begin(self, config: dict[str, Any], seconds: float) -> None:
        self.versions += 1
        self.pending = {**config, "config_version": self.versions}
        self.failed, self.due = "", time.monotonic() + seconds

    def settle(self, failure: str) -> None:
        """End an update whose time has come."""
        if self.pending and not self.failed and time.monotonic() >= self.due:
            if failure:
                self.failed = failure
            else:
                self.config, self.pending = self.pending, {}

    def described(self) -> dict[str, Any]:
        going_on = bool(self.pending) and not self.failed
        update = self.failed.partition(":")[0] if self.failed else "IN_PROGRESS" if going_on else "NOT_UPDATING"
        found: dict[str, Any] = {
            "name": self.name,
            "id": f"id-of-{self.name}",
            "tags": [{"key": key, "value": value} for key, value in self.tags.items()],
            "state": {"ready": "READY" if self.config else "NOT_READY", "config_update": update},
        }
        if self.gateway:
            found["ai_gateway"] = self.gateway
        if self.config:
            found["config"] = _with_states(self.config, "DEPLOYMENT_READY", "")
        if self.pending:
            state = "DEPLOYMENT_FAILED" if self.failed else "DEPLOYMENT_CREATING"
            said = self.failed.partition(":")[2] or "Container image is being built"
            found["pending_config"] = _with_states(self.pending, state, said)
        return found


class Endpoints:
    """All endpoints of a workspace, and the registered models that they may serve."""

    def __init__(self) -> None:
        self.all: dict[str, Endpoint] = {}
        self.models: dict[str, dict[str, Any]] = {}
        """Name → `{"versions": […], "aliases": {…}}`."""
        self.seconds = 0.3
        """How long it takes until an endpoint has its configuration."""
        self.failure = ""
        """What becomes of updates: nothing, `UPDATE_FAILED:WORDS` or `UPDATE_CANCELED`."""
        self.faults: list[Any] = []
        """For each change of an endpoint: a status, `lost` (done, not answered), `cut` (not done), or None."""
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        """Every change that was asked for: method, path, body."""
        self.read: list[str] = []
        """Every path that was read, and answered."""
        self.logs = {"build-logs": "Collecting torch\nSuccessfully built\n", "logs": "[2026-01-01] ready\n"}
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        """Answer a request of either; `lost` and `cut` ones with that word."""
        with self.lock:
            if path.startswith(CATALOG):
                return self._of_catalog(method, path.removeprefix(CATALOG), query, body)
            asked = json.loads(body) if body else {}
            fault = None
            if method != "GET":
                self.requests.append((method, path, asked))
                fault = self.faults.pop(0) if self.faults else None
            if isinstance(fault, int):
                raise Refused(fault, "TEMPORARILY_UNAVAILABLE", "busy")
            if fault == "cut":
                return fault
            found = self._changed_or_told(method, path.removeprefix(PATH).strip("/").split("/"), asked)
            if method == "GET":
                self.read.append(path)
            return fault or found

    def _changed_or_told(self, method: str, words: list[str], asked: dict[str, Any]) -> dict[str, Any]:
        if (method, words) == ("POST", [""]):
            return self._created(asked)
        endpoint = self._named(words[0])
        match method, words[1:]:
            case "GET", []:
                return endpoint.described()
            case "DELETE", []:
                del self.all[endpoint.name]
                return {}
            case "PUT", ["config"]:
                return self._updated(endpoint, asked)
            case "PUT", ["ai-gateway"]:
                same(serving.PutAiGatewayResponse.from_dict(asked).as_dict(), asked, "ai-gateway")
                endpoint.gateway = asked
                return asked
            case "PATCH", ["tags"]:
                _only(asked, {"add_tags", "delete_tags"})
                endpoint.tags |= {tag["key"]: tag.get("value", "") for tag in asked.get("add_tags", [])}
                for key in asked.get("delete_tags", []):
                    del endpoint.tags[key]
                return {"tags": [{"key": key, "value": value} for key, value in endpoint.tags.items()]}
            case "GET", ["served-models", entity, ("logs" | "build-logs") as kind]:
                return self._log(endpoint, entity, kind)
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"{method} {'/'.join(words)}")

    def _named(self, name: str) -> Endpoint:
        if name not in self.all:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Endpoint with name '{name}' does not exist.")
        self.all[name].settle(self.failure)
        return self.all[name]

    def _created(self, asked: dict[str, Any]) -> dict[str, Any]:
        _only(asked, {"name", "config", "tags", "ai_gateway"})
        name = str(asked["name"])
        if not _NAME.fullmatch(name):
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Endpoint name {name} is not valid.")
        if name in self.all:
            raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Endpoint with name '{name}' already exists.")
        same(serving.EndpointCoreConfigInput.from_dict(asked["config"]).as_dict(), asked["config"], "config")
        for tag in asked.get("tags", []):
            same(serving.EndpointTag.from_dict(tag).as_dict(), tag, "tag")
        gateway = asked.get("ai_gateway", {})
        same(serving.AiGatewayConfig.from_dict(gateway).as_dict(), gateway, "ai_gateway")
        config = self._checked({key: value for key, value in asked["config"].items() if key != "name"})
        self.all[name] = endpoint = Endpoint(name, asked.get("tags", []), gateway)
        endpoint.begin(config, self.seconds)
        return endpoint.described()

    def _updated(self, endpoint: Endpoint, asked: dict[str, Any]) -> dict[str, Any]:
        if endpoint.pending and not endpoint.failed:
            raise Refused(409, "RESOURCE_CONFLICT", f"Endpoint {endpoint.name} is currently being updated.")
        endpoint.begin(self._checked(asked), self.seconds)
        return endpoint.described()

    def _checked(self, config: dict[str, Any]) -> dict[str, Any]:
        """Hold a configuration to the SDK's types and to what the service knows."""
        _only(config, {"served_entities", "traffic_config"})
        entities, names = config["served_entities"], [each["name"] for each in config["served_entities"]]
        if not 0 < len(names) <= _MOST or len(set(names)) < len(names):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "served entities need names, each its own")
        for each in entities:
            same(serving.ServedEntityInput.from_dict(each).as_dict(), each, "served entity")
            if missing := _OF_A_MODEL - each.keys():
                raise Refused(400, "INVALID_PARAMETER_VALUE", f"a custom model needs {sorted(missing)}")
            if not _NAME.fullmatch(each["name"]) or each["workload_size"] not in _SIZES:
                raise Refused(400, "INVALID_PARAMETER_VALUE", f"{each['name']} or {each['workload_size']} is no such")
            if each["entity_version"] not in self.models.get(each["entity_name"], {}).get("versions", []):
                what = f"{each['entity_name']} version {each['entity_version']}"
                raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"The model {what} does not exist.")
        same(serving.TrafficConfig.from_dict(config["traffic_config"]).as_dict(), config["traffic_config"], "traffic")
        routes = {each["served_entity_name"]: each["traffic_percentage"] for each in config["traffic_config"]["routes"]}
        whole = all(isinstance(share, int) and 0 <= share <= 100 for share in routes.values())
        if sorted(routes) != sorted(names) or not whole or sum(routes.values()) != 100:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"shares of {names} add up to 100, not {routes}")
        return config

    def _log(self, endpoint: Endpoint, entity: str, kind: str) -> dict[str, Any]:
        known = [each for config in (endpoint.config, endpoint.pending) for each in config.get("served_entities", [])]
        if entity not in [each["name"] for each in known]:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Served entity {entity} does not exist.")
        if kind == "logs" and not endpoint.config:
            raise Refused(400, "BAD_REQUEST", "Logs are not available before the container runs.")
        return {"logs": self.logs[kind]}

    def _of_catalog(self, method: str, path: str, query: dict[str, str], body: bytes) -> dict[str, Any]:
        """Say which version an alias names, as Unity Catalog's registry does."""
        asked = query or json.loads(body)
        if (method, path) != ("GET", "registered-models/alias"):
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"{method} {path}")
        version = self.models.get(asked["name"], {}).get("aliases", {}).get(asked["alias"])
        if version is None:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"{asked['name']} has no alias {asked['alias']}")
        return {"model_version": {"name": asked["name"], "version": version, "status": "READY"}}


def same(known: dict[str, Any], asked: dict[str, Any], what: str) -> None:
    """Hold a request to what the SDK's dataclass makes of it."""
    if known != asked:
        raise Refused(400, "MALFORMED_REQUEST", f"unknown fields in {what}: {asked} is taken as {known}")


def _only(asked: dict[str, Any], fields: set[str]) -> None:
    if unknown := set(asked) - fields:
        raise Refused(400, "MALFORMED_REQUEST", f"unknown fields {sorted(unknown)}")


def _with_states(config: dict[str, Any], state: str, said: str) -> dict[str, Any]:
    told = {"deployment": state, **({"deployment_state_message": said} if said else {})}
    return {**config, "served_entities": [{**each, "state": told} for each in config["served_entities"]]}


def until(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until something is so, and give it."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.05)
    return answer
