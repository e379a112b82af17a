"""One frozen value that holds everything a launch will do, before it does any of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlops.config import folders, load, locations, paths, project_settings
from dlops.config.load import Setting, Stated
from dlops.config.project_settings import ProjectSettings
from dlops.errors import UsageError
from dlops.project import source as sources
from dlops.project import spec
from dlops.project.environment import Environment
from dlops.project.source import Source
from dlops.project.spec import EntryPoint, Project
from dlops.worker import masking
from dlops.worker.job import Job

_READ, _WRITTEN = ("path", "location", "dataset", "model"), ("table",)
"""Types of parameters whose values may name places on this machine."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for, as it was typed."""

    step: str
    given: Mapping[str, str] = field(default_factory=dict)
    uri: str = "."
    version: str = ""
    """Branch, tag or commit of a Git remote."""
    diff: str = ""
    """A patch of the project at that revision."""
    entry_point: str = ""
    config_files: Sequence[Path] = ()
    stated: Sequence[Stated] = ()
    """What a pipeline says of the step."""
    later: Collection[str] = ()
    """Parameters whose values are not known yet."""
    target: str = ""
    """`local` when it is not said."""
    environment: str = ""
    lock: str = ""
    """The exact packages of the environment, one `NAME==VERSION` a line; resolved anew when it is not said."""
    experiment: str = ""
    tracking_uri: str = ""
    run_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Further tags of the run."""
    complete: bool = True
    """Whether a parameter that still needs a value is a problem; not when the project alone is looked at."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will run, with which values, where, and where it is recorded."""

    step: str
    uri: str
    """The project as it was typed."""
    source: Source
    project: Project
    entry_point: EntryPoint
    settings: tuple[Setting, ...]
    environment_kind: str
    lock: str = ""
    target: str
    experiment: str
    tracking_uri: str
    run_name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    require_clean: bool = False

    @property
    def values(self) -> dict[str, str]:
        return {setting.parameter.name: setting.value for setting in self.settings}

    @property
    def shown_values(self) -> dict[str, str]:
        """The values as they may be logged and shown."""
        secrets = self.secrets
        return {
            name: masking.MASK if masking.is_secret(name) and value else masking.text(value, secrets)
            for name, value in self.values.items()
        }

    @property
    def secrets(self) -> tuple[str, ...]:
        return masking.known_secrets(os.environ, self.values, [self.tracking_uri, self.uri])

    def command(self, *, shown: bool = False, placed: bool = False) -> str:
        """Give the shell command, exactly as it runs or with secrets masked.

        With `placed`, placeholders stand for places on this machine, which may be others where it runs.
        """
        values = self.shown_values if shown else self.values
        quoted = {name: shlex.quote(value) for name, value in values.items()}
        if not shown:
            quoted |= self._with_placeholders() if placed else {}
            quoted |= {name: placeholder for placeholder, name in self._downloaded().items()}
        return self.entry_point.fill(quoted)

    def job(self, environment: Environment) -> Job:
        """Turn the plan into what a worker is asked to do."""
        return Job(
            step=self.step,
            entry_point=self.entry_point.name,
            target=self.target,
            command=self.command(placed=True),
            ahead=self.entry_point.ahead,
            folder=str(self.source.folder),
            tree=str(self.source.tree or ""),
            tracking_uri=self.tracking_uri,
            experiment=self.experiment,
            run_name=self.run_name,
            params=self.shown_values,
            changed=tuple(each.parameter.name for each in self.settings if each.is_changed),
            tags=self._tags(environment),
            artifacts=self._artifacts(environment),
            inputs=self._places(written=False),
            outputs=self._places(written=True),
            downloads={placeholder: self.values[name] for placeholder, name in self._downloaded().items()},
            packages=environment.packages,
            path=environment.path,
            unset=environment.unset,
            secrets=self.secrets,
            lock_folder=str(folders.cache() / "locks"),
        )

    def _with_placeholders(self) -> dict[str, str]:
        """Give the shell text of parameters that name places on this machine, with a placeholder for each place."""
        found = {setting.parameter.name: _parts(setting) for setting in self.settings}
        return {
            name: ",".join(part.placeholder + (shlex.quote(part.rest) if part.rest else "") for part in parts)
            for name, parts in found.items()
            if any(part.place for part in parts)
        }

    def _places(self, *, written: bool) -> dict[str, str]:
        """Give the places that are read, or those that are written, by their placeholders."""
        kinds = _WRITTEN if written else _READ
        parts = [part for setting in self.settings if setting.parameter.type in kinds for part in _parts(setting)]
        return {part.placeholder: part.place for part in parts if part.place}

    def _downloaded(self) -> dict[str, str]:
        """Give a placeholder for each `path` parameter whose value is a URI: the command wants a local file."""
        return {
            f"@dlops-download:{setting.parameter.name}@": setting.parameter.name
            for setting in self.settings
            if setting.parameter.type == "path" and setting.is_uri
        }

    def _tags(self, environment: Environment) -> dict[str, str]:
        source = self.source
        tags = {"mlflow.source.name": source.remote or str(source.folder), "mlflow.project.env": environment.kind}
        tags |= {"dlops.project": source.project, "dlops.subfolder": source.subfolder, **self.tags}
        if source.diff:
            tags["dlops.diff"] = "kept" if self._recorded_diff == source.diff else "masked"
        if source.commit:
            tags |= {
                "mlflow.source.git.commit": source.commit,
                "dlops.commit": source.commit,
                "dlops.dirty": str(source.dirty).lower(),
            }
        return tags

    @property
    def _recorded_diff(self) -> str:
        """The patch as it may be kept; it differs from the real one where that holds secrets, or is no UTF-8."""
        return masking.text(self.source.diff, self.secrets).replace("\ufffd", "?")

    def _artifacts(self, environment: Environment) -> dict[str, str]:
        shown = self.shown_values
        lines = [f"# dlops {self.step} -c config.yaml"]
        lines += [f"{name}: {_as_yaml(value)}" for name, value in shown.items()]
        artifacts = {
            "config.yaml": "\n".join(lines) + "\n",
            "environment.lock": masking.text(environment.lock, self.secrets),
        }
        if self.source.diff:
            artifacts["source.diff"] = self._recorded_diff
        return {name: text for name, text in artifacts.items() if text}

    def as_dict(self) -> dict[str, Any]:
        """Give the plan as `--dry-run --json` shows it."""
        return {
            "step": self.step,
            "target": self.target,
            "entry_point": self.entry_point.name,
            "project": self.source.project,
            "commit": self.source.commit,
            "dirty": self.source.dirty,
            "environment": self.environment_kind,
            "experiment": self.experiment,
            "tracking_uri": masking.url(self.tracking_uri),
            "params": self.shown_values,
            "layers": {setting.parameter.name: setting.layer for setting in self.settings},
            "command": masking.text(self.command(shown=True), self.secrets),
        }


def entry_point(step: str, uri: str = ".", name: str = "", version: str = "", diff: str = "") -> EntryPoint:
    """Find what a step is in a project: the entry point that is named, or mapped, or called as the step.

    Raises:
        UsageError, ConfigError: there is no such project or entry point, or its files are wrong.
    """
    folder = sources.of(uri, version, diff).folder
    return _entry_point(step, name, spec.load(folder), project_settings.load(folder))


def make(request: Request) -> Plan:
    """Settle everything a launch needs, without creating anything.

    Raises:
        UsageError, ConfigError: what was asked, or a file, is wrong; every problem of one kind at once.
    """
    source = sources.of(request.uri, request.version, request.diff)
    project = spec.load(source.folder)
    chosen = project_settings.load(source.folder)
    entry_point = _entry_point(request.step, request.entry_point, project, chosen)
    own = source.folder / "configs" / f"{request.step}.yaml"
    settings = load.resolve(
        entry_point.parameters,
        step=request.step,
        project=source.folder,
        files=[*([own] if own.is_file() else []), *request.config_files],
        environ=os.environ,
        given=request.given,
        stated=request.stated,
        later=request.later,
        complete=request.complete,
    )
    return Plan(
        step=request.step,
        uri=request.uri,
        source=source,
        project=project,
        entry_point=entry_point,
        settings=settings,
        environment_kind=request.environment or ("docker" if project.docker else chosen.environment),
        lock=request.lock,
        target=request.target or "local",
        experiment=experiment(request.experiment, chosen.experiment, project.name),
        tracking_uri=tracking_uri(request.tracking_uri),
        run_name=request.run_name,
        tags=request.tags,
        require_clean=chosen.require_clean,
    )


def with_commit(plan: Plan) -> Plan:
    """Add to a plan what Git knows of its files.

    Raises:
        UsageError: they differ from their commit, or have none, and the project wants them clean.
    """
    source = sources.at_its_commit(plan.source)
    if plan.require_clean and (source.dirty or not source.commit):
        what = "has changes that are not committed" if source.commit else "is no commit of a Git repository"
        raise UsageError(
            f"{source.folder} {what}, and its configs/dlops.yaml says require_clean.",
            hint="Commit them (`git status` lists them), or set require_clean: false.",
        )
    return replace(plan, source=source)


def tracking_uri(stated: str = "") -> str:
    """Give the tracking store: as stated, as MLflow's own variable says, else `mlflow.db` in this folder; absolute."""
    uri = stated or os.environ.get("MLFLOW_TRACKING_URI", "") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{paths.absolute(uri.removeprefix('sqlite:///'))}"
    if ":" not in uri and uri not in ("databricks", "databricks-uc"):
        return str(paths.absolute(uri))  # a folder, should MLflow be allowed one
    return uri


def option(uri: str) -> str:
    """Give the words by which a command that is typed next finds the store: none where it finds it by itself."""
    return "" if uri == tracking_uri() else f" --tracking-uri {masking.url(uri)}"


def experiment(stated: str, project_setting: str, project_name: str) -> str:
    """Give the experiment's name: as stated, as MLflow's own variable says, the project's setting, its name."""
    return stated or os.environ.get("MLFLOW_EXPERIMENT_NAME", "") or project_setting or project_name or "Default"


def _entry_point(step: str, name: str, project: Project, chosen: ProjectSettings) -> EntryPoint:
    return project.entry_point(name or chosen.entry_points.get(step, step))


@dataclass(frozen=True)
class _Part:
    """A piece of a parameter's value: a place on this machine, and what else is said with it."""

    placeholder: str
    place: str
    rest: str
    """A table's version; all of a piece that is no place."""


def _parts(setting: Setting) -> list[_Part]:
    """Split the value of a parameter that may name places on this machine; others have no parts."""
    kind, name, value = setting.parameter.type, setting.parameter.name, setting.value
    if kind not in (*_READ, *_WRITTEN):
        return []
    several = kind == "location" and "," in value and not os.path.lexists(value)
    found = []
    for number, text in enumerate(value.split(",") if several else [value]):
        place = locations.versioned(text)[0] if Path(text).is_absolute() else ""
        found.append(_Part(f"@dlops-place:{name}:{number}@" if place else "", place, text.removeprefix(place)))
    return found


def _as_yaml(value: str) -> str:
    import yaml

    return yaml.safe_dump(value, default_style='"', width=10**9).strip() if value else '""'
