"""Registered models as they are: names, versions, aliases, figures, age."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dlops.errors import UnreachableError, UsageError
from dlops.worker import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

METRIC = "dlops_metric_"
"""What tags of a version begin with that hold its figures."""
_PATIENCE = 15.0
_PAGE = 200
_PARTS = 3
"""Of a name in Unity Catalog: catalog, schema, model."""
_MISSING = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: str
    aliases: tuple[str, ...]
    run_id: str
    source: str
    """URI of the model that it is."""
    model_id: str
    """Of that model, where the registry knows it: `m-…`."""
    created: float
    """Seconds since 1970."""
    tags: dict[str, str]

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of its evaluation."""
        found = {}
        for key, value in self.tags.items():
            if key.startswith(METRIC):
                with contextlib.suppress(ValueError):  # a tag of somebody else's
                    found[key.removeprefix(METRIC)] = float(value)
        return found


def connect(uri: str) -> MlflowClient:
    """Open the registry that goes with a tracking store.

    Raises:
        UnreachableError: it cannot be opened.
    """
    try:
        return tracking.connect(uri)
    except tracking.Unreachable as error:
        raise UnreachableError(str(error), hint="Check --tracking-uri (or MLFLOW_TRACKING_URI).") from error


def asked(call: Callable[[], Result]) -> Result:
    """Ask the registry, patiently.

    Raises:
        UnreachableError: it does not answer.
        UsageError: there is no such model or version.
    """
    try:
        return tracking.patiently(call, seconds=_PATIENCE)
    except tracking.Unreachable as error:
        cause = getattr(error.__cause__, "error_code", "")
        if cause == _MISSING:
            raise UsageError(str(error), hint="`dlops models` lists those there are.") from error
        raise UnreachableError(str(error), hint="Check --tracking-uri (or MLFLOW_TRACKING_URI).") from error


@contextmanager
def translated() -> Iterator[None]:
    """Tell in our own words that a registry refused or did not answer.

    Raises:
        UnreachableError: it did.
        UsageError: there is no such model or version.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code == _MISSING:
            raise UsageError(str(error.message), hint="`dlops models` lists those there are.") from error
        raise UnreachableError(f"The registry refused, or did not answer: {error.message}") from error


def check_name(parameter: str, name: str, registry: str) -> None:
    """Refuse a name of a registered model that the registry at this URI does not take.

    Raises:
        UsageError: it does not.
    """
    if registry.startswith("databricks-uc") and len(list(filter(None, name.split(".")))) != _PARTS:
        raise UsageError(
            f"{parameter}={name}: models of Unity Catalog have names in three parts: CATALOG.SCHEMA.{name}"
        )
    if not name.strip() or any(letter in name for letter in "/:%\"'"):
        raise UsageError(f"{parameter}={name!r} is no name of a registered model: / : % and quotes are no part of one.")


def names(client: MlflowClient) -> list[str]:
    """List the registered models, in the order of their names."""
    return sorted(str(model.name) for model in _pages(client.search_registered_models))


def of(client: MlflowClient, name: str) -> list[Version]:
    """List the versions of a model, the newest first.

    Raises:
        UsageError: there is no such model.
        UnreachableError: the registry does not answer.
    """
    model = asked(lambda: client.get_registered_model(name))
    aliases = {alias: str(version) for alias, version in model.aliases.items()}
    found = _pages(client.search_model_versions, filter_string=f"name='{name}'")
    whole = [
        one if isinstance(one.tags, dict) else asked(lambda one=one: client.get_model_version(name, one.version))  # type: ignore[misc]
        for one in found
    ]  # what Unity Catalog finds is without tags
    return sorted((_version(one, aliases) for one in whole), key=lambda one: -int(one.version))


def create(uri: str, name: str, tags: Mapping[str, str]) -> str:
    """Make a logged model a version, in the registry that MLflow is set to; give its number.

    Raises:
        UnreachableError: the registry does not take it, or does not answer.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return str(mlflow.register_model(uri, name, tags=dict(tags)).version)
    except MlflowException as error:
        raise UnreachableError(f"The registry does not take the model: {error.message}") from error


def one(client: MlflowClient, name: str, version: str) -> Version:
    """Find a version by its number or its alias.

    Raises:
        UsageError: there is none.
        UnreachableError: the registry does not answer.
    """
    found = of(client, name)
    for candidate in found:
        if version in (candidate.version, *candidate.aliases):
            return candidate
    there = ", ".join(candidate.version for candidate in found) or "none"
    raise UsageError(f"{name} has no version {version!r}; there is {there}.", hint=f"`dlops models {name}` lists them.")


def _pages(search: Callable[..., Any], **words: Any) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = asked(lambda token=token: search(max_results=_PAGE, page_token=token, **words))  # type: ignore[misc]
        found += page
        token = page.token
        if not token:
            return found


def _version(found: Any, aliases: dict[str, str]) -> Version:
    return Version(
        name=found.name,
        version=str(found.version),
        aliases=tuple(sorted(alias for alias, version in aliases.items() if version == str(found.version))),
        run_id=found.run_id or "",
        source=str(found.source or ""),
        model_id=str(getattr(found, "model_id", None) or ""),
        created=found.creation_timestamp / 1000,
        tags=dict(found.tags),
    )
