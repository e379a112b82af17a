"""Every problem found before anything is created or paid for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dlops.config.parameters import suggestion
from dlops.errors import ConfigError
from dlops.project import databricks_names, environment
from dlops.project.plan import Plan
from dlops.targets.interface import Target
from dlops.worker.job import Job

_STORES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks", "file")


def check(plan: Plan, job: Job, target: Target) -> None:
    """Check environment, tracking store and target together.

    Raises:
        ConfigError: with every problem, when there is one.
    """
    problems = [
        *_environment(plan),
        *tracking_store(plan.tracking_uri),
        *databricks_names.problems(plan.tracking_uri, plan.experiment, plan.shown_values),
        *(_nowhere(plan, target) if target.forgets else []),
        *target.problems(job),
    ]
    if problems:
        raise ConfigError(f"{plan.step} cannot be launched.", problems=problems, hint="`dlops doctor` checks the rest.")


def tracking_store(uri: str) -> list[str]:
    """List what is wrong with a tracking URI, as far as its text tells."""
    if re.fullmatch(r"[\w.\-]+:\d+(/.*)?", uri):
        return [f"the tracking store {uri!r} has no scheme; did you mean 'http://{uri}'?"]
    scheme = re.split(r"[:+]", uri, maxsplit=1)[0] if ":" in uri else uri
    if scheme == "file" or ("://" not in uri and not scheme.startswith("databricks")):
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() == "true":
            return []
        return [
            f"the tracking store {uri!r} is a folder of files, which MLflow no longer keeps runs in;"
            f" use a database beside it: --tracking-uri sqlite:///{Path(uri.removeprefix('file:')).name or 'mlflow'}.db"
        ]
    if scheme == "sqlite" and not re.match(r"sqlite(\+\w+)?:///.", uri):
        return [f"the tracking store {uri!r} names no file: write sqlite:///FILE, or sqlite:////FOLDER/FILE"]
    if scheme == "databricks-uc":
        return ["databricks-uc is a model registry (MLFLOW_REGISTRY_URI); the tracking store beside it is databricks"]
    if scheme not in _STORES:
        return [
            f"MLflow knows no tracking store {scheme!r}{suggestion(scheme, _STORES)}; it has {', '.join(_STORES[:-1])}"
        ]
    return []


def _nowhere(plan: Plan, target: Target) -> list[str]:
    """List tables that are written where nobody said: in the data folder of whatever machine it comes to."""
    left_out = [setting.parameter for setting in plan.settings if not setting.value]
    return [
        f"{parameter.name} is left out, and a table in the data folder of a node of {target.name} would be lost:"
        f" {parameter.name}=s3://…, or a folder that the target lists as shared"
        for parameter in left_out
        if parameter.type == "table"
    ]


def _environment(plan: Plan) -> list[str]:
    kind = plan.environment_kind
    if kind == "docker":
        return ["the project asks for docker_env, which dlops does not build; --env local runs it in this interpreter"]
    if kind not in environment.KINDS:
        near = suggestion(kind, environment.KINDS)
        return [f"there is no environment {kind!r}{near}; there are {', '.join(environment.KINDS)}"]
    return environment.problems(kind, plan.project.environment_file)
