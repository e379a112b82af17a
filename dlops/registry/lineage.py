"""Where a model comes from, and what came of it: version, run, data and its source, code, environment, hardware."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dlops.errors import UsageError
from dlops.registry import versions
from dlops.registry.aliases import CHAMPION
from dlops.registry.versions import Version, asked

if TYPE_CHECKING:
    from mlflow import MlflowClient

_VERSION = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")
_MODEL = re.compile(r"models:/(?P<id>m-[^/@]+)")
_OUTPUT = re.compile(r"runs:/(?P<run>[^/]+)/(?P<name>.+)")
_RUN = re.compile(r"[0-9a-f]{32}")
MADE_OF = "dlops.made_of"
"""Tag of a model that is another one in another form: an export, or a package of it with its inference pipeline."""
EXPORT = "dlops_export_"
"""What tags of a version begin with that name its exports."""
_LOCK = "environment.lock"
_MOST = 20
"""Later runs that are listed."""
_DEPTH = 6
"""Models that were each fine-tuned from the one before, at most."""


@dataclass(frozen=True)
class Node:
    """One thing in a model's history."""

    kind: str
    """`version`, `model`, `export`, `run`, `dataset`, `source`, `code`, `environment` or `hardware`."""
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    after: tuple[Node, ...] = ()
    """What it was made from."""

    def document(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "kind": self.kind,
            "name": self.name,
            **({"facts": dict(self.facts)} if self.facts else {}),
            **({"from": [node.document() for node in self.after]} if self.after else {}),
        }


@dataclass(frozen=True)
class Lineage:
    """Of one model or run."""

    root: Node
    uses: tuple[Node, ...]
    """What came of it: versions, evaluations, models that were made from it."""

    def document(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {**self.root.document(), "uses": [node.document() for node in self.uses]}


def of(client: MlflowClient, reference: str) -> Lineage:
    """Follow a reference back to where it comes from, and forward to what came of it.

    Raises:
        UsageError: there is no such model, version or run.
        UnreachableError: the store does not answer.
    """
    root = _node(client, reference, _DEPTH)
    return Lineage(root, tuple(_uses(client, root)))


def _node(client: MlflowClient, reference: str, depth: int) -> Node:
    if model := _MODEL.fullmatch(reference):
        return _model(client, model["id"], depth)
    if version := _VERSION.fullmatch(reference):
        return _version(client, version["name"], version["version"] or version["alias"], depth)
    if output := _OUTPUT.fullmatch(reference):
        run = asked(lambda: client.get_run(output["run"]))
        found = str(run.data.tags.get(f"dlops.output.{output['name']}", ""))
        return _node(client, found, depth) if _MODEL.fullmatch(found) else _run(client, output["run"], depth)
    if _RUN.fullmatch(reference):
        return _run(client, reference, depth)
    if reference and not re.search(r"[:/@]", reference):
        return _version(client, reference, CHAMPION, depth)
    raise UsageError(
        f"{reference!r} names no model and no run.",
        hint="Name a registered model, models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-… or a run.",
    )


def _version(client: MlflowClient, name: str, version: str, depth: int) -> Node:
    found = versions.one(client, name, version)
    facts = {"aliases": ", ".join(found.aliases), "registered": _time(found.created)}
    facts |= {
        key: found.tags.get(f"dlops_{key}", "") for key in ("promoted_by", "promoted_at", "approved_by", "evaluation")
    }
    facts |= {name: f"{value:.4g}" for name, value in found.metrics.items()}
    source = found.source if _MODEL.fullmatch(found.source) else f"models:/{found.model_id}"
    after: tuple[Node, ...] = ()
    if _MODEL.fullmatch(source):
        after = (_node(client, source, depth),)
    elif found.run_id:
        after = (_run(client, found.run_id, depth),)
    return Node("version", f"models:/{name}/{found.version}", _there(facts), after)


def _model(client: MlflowClient, model_id: str, depth: int) -> Node:
    model = asked(lambda: client.get_logged_model(model_id))
    facts = {"name": model.name, "logged": _time(model.creation_timestamp / 1000)}
    after: tuple[Node, ...] = ()
    if (made_of := model.tags.get(MADE_OF)) and depth:
        try:
            after = (_node(client, made_of, depth - 1),)
        except UsageError:  # it was deleted; what was made of it holds all it needs
            after = (Node("model", made_of, {"state": "deleted"}),)
    elif model.source_run_id:
        after = (_run(client, model.source_run_id, depth),)
    return Node("model", f"models:/{model_id}", _there(facts), after)


def _run(client: MlflowClient, run_id: str, depth: int) -> Node:
    run = asked(lambda: client.get_run(run_id))
    tags: Mapping[str, str] = run.data.tags
    facts = {
        "step": tags.get("dlops.step", ""),
        "status": run.info.status,
        "started": _time(run.info.start_time / 1000),
        "by": tags.get("mlflow.user", ""),
        "target": tags.get("dlops.target", ""),
    }
    after = [*_datasets(client, run, depth), *_foundation(client, run, depth), *_code(run), *_environment(client, run)]
    return Node("run", run_id, _there(facts), tuple(after))


def _datasets(client: MlflowClient, run: Any, depth: int) -> Iterator[Node]:
    """Give the data that a run read, and the run that made it, if it is in this store."""
    for one in run.inputs.dataset_inputs if run.inputs else ():
        source = json.loads(one.dataset.source or "{}")
        place, version = source.get("path", one.dataset.name), source.get("delta_table_version")
        reference = place if version is None else f"{place}@{version}"
        made = [] if run.data.tags.get("dlops.step") == "ingest" else _made(client, reference)
        after = [_run(client, made[0].info.run_id, depth - 1)] if made and depth else []
        yield Node("dataset", reference, _there({"digest": one.dataset.digest}), tuple(after))
    if run.data.tags.get("dlops.step") == "ingest" and run.data.params.get("source"):
        yield Node("source", run.data.params["source"], _there({"checksum": run.data.params.get("checksum", "")}))


def _made(client: MlflowClient, reference: str) -> list[Any]:
    return _runs(client, "dlops.output.dataset", reference, 1)


def _foundation(client: MlflowClient, run: Any, depth: int) -> Iterator[Node]:
    """Give the model that a run began with."""
    if run.data.tags.get("dlops.step") not in ("finetune", "tune"):
        return
    reference = run.data.tags.get("dlops.resolved.model", "")
    if depth and _MODEL.fullmatch(reference):
        yield _node(client, reference, depth - 1)
    elif name := reference or run.data.params.get("model", ""):
        yield Node("model", name)


def _code(run: Any) -> Iterator[Node]:
    tags: Mapping[str, str] = run.data.tags
    commit = tags.get("dlops.commit") or tags.get("mlflow.source.git.commit", "")
    project = tags.get("dlops.project") or tags.get("mlflow.source.name", "")
    dirty = tags.get("dlops.dirty", "")
    diff = f"runs:/{run.info.run_id}/source.diff" if dirty == "true" else ""
    if commit or project:
        yield Node("code", project or commit, _there({"commit": commit, "dirty": dirty, "diff": diff}))


def _environment(client: MlflowClient, run: Any) -> Iterator[Node]:
    if lock := environment_of(client, run.info.run_id):
        yield Node("environment", lock)
    if hardware := run.data.tags.get("dlops.hardware"):
        yield Node("hardware", hardware)


def environment_of(client: MlflowClient, run_id: str) -> str:
    """Name the environment that a run had; nothing, if it was not kept."""
    names = {file.path for file in asked(lambda: client.list_artifacts(run_id))}
    return f"runs:/{run_id}/{_LOCK}" if _LOCK in names else ""


def _uses(client: MlflowClient, root: Node) -> Iterator[Node]:
    """Give what came of a model: versions, evaluations, and models that were made from it."""
    model = root if root.kind == "model" else next((node for node in root.after if node.kind == "model"), None)
    if model is None:
        return
    for name in versions.names(client):
        for found in versions.of(client, name):
            uri = f"models:/{name}/{found.version}"
            it_is = (found.source, f"models:/{found.model_id}", found.tags.get("dlops_classifier"))
            if model.name in it_is and uri != root.name:
                yield Node("version", uri, _there({"aliases": ", ".join(found.aliases)}))
            elif uri == root.name:
                yield from _exports(found)
    for found in _runs(client, "dlops.resolved.model", model.name, _MOST):
        tags = found.data.tags
        facts = {
            "step": tags.get("dlops.step", ""),
            "status": found.info.status,
            "url": tags.get("dlops.output.url", ""),
        }
        yield Node("run", found.info.run_id, _there({**facts, "verdict": tags.get("dlops.output.verdict", "")}))


def _exports(version: Version) -> Iterator[Node]:
    for tag, uri in sorted(version.tags.items()):
        if tag.startswith(EXPORT) and _MODEL.fullmatch(uri):
            facts = {"agreement": version.tags.get(f"{tag}_agreement", "")}
            yield Node("export", uri, {"format": tag.removeprefix(EXPORT).replace("_", "-"), **_there(facts)})


def _runs(client: MlflowClient, tag: str, value: str, most: int) -> list[Any]:
    """Find the latest runs with a tag, in every experiment."""
    if "'" in value:  # a filter has no way to write it
        return []
    experiments = [found.experiment_id for found in asked(client.search_experiments)]
    which = f"tags.`{tag}` = '{value}'"
    return list(asked(lambda: client.search_runs(experiments, which, max_results=most)))


def _there(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in facts.items() if text}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
