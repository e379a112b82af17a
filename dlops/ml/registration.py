"""Registering a model that has earned it: a version with its origins and figures, checked once more, under an alias."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from dlops.errors import GateFailed, UsageError
from dlops.ml import gates, logged_models, parity, record
from dlops.ml.judgement import Judgement
from dlops.ml.progress import say
from dlops.ml.settings import Register
from dlops.registry import aliases, lineage, versions
from dlops.registry.versions import Version

_OF_THE_RUN = ("commit", "dirty", "target")
"""Tags of the run that made the model, which its version has too."""
UNFINISHED = "dlops_unfinished"
"""Tag of a version that was not checked to the end: whoever registers the model again goes on with it."""
_LONGEST = 4500
"""Characters of a version's description."""


def check(name: str, uri: str) -> None:
    """Refuse what no registry takes, before anything is asked of it.

    Raises:
        UsageError: the name is none that the registry takes.
        GateFailed: the model has no signature.
    """
    versions.check_name("name", name, mlflow.get_registry_uri())
    if mlflow.models.get_model_info(uri).signature is None:
        raise GateFailed(
            f"The model {uri} has no signature: nobody could tell what it takes and gives.",
            hint="Log it with one: mlflow.models.set_signature(uri, mlflow.models.infer_signature(…)).",
        )


def existing(client: MlflowClient, name: str, uri: str, made_of: Mapping[str, str]) -> Version | None:
    """Find the version that this very model is already, or the package that was `made_of` it (tags of the version)."""
    try:
        found = versions.of(client, name)
    except UsageError:  # there is no such model yet
        return None
    return next(
        (
            one
            for one in found
            if (made_of.items() <= one.tags.items() if made_of else uri in (one.source, f"models:/{one.model_id}"))
        ),
        None,
    )


def champion(client: MlflowClient, name: str) -> str | None:
    """Give the version that is the champion now.

    Raises:
        UnreachableError: the registry does not answer.
    """
    try:
        return versions.asked(lambda: aliases.holder(client, name))
    except UsageError:  # there is no such model yet
        return None


def problems(found: Judgement, answers: Sequence[gates.Answer], settings: Register, *, contested: bool) -> list[str]:
    """Tell what speaks against the model; the champion, where it is `contested`."""
    told = [str(answer) for answer in answers if not answer.holds]
    verdict = found.against.verdict if found.against and contested else None
    if verdict == "worse" and settings.beat != "any":
        told.append(f"beat={settings.beat}: {found.verdict_told}")
    elif verdict == "not_distinguishable" and settings.beat == "better":
        told.append(f"beat=better: {found.verdict_told}")
    return told


def register(found: Judgement, settings: Register, more: Mapping[str, str], unfinished: Version | None = None) -> str:
    """Make the model a version, and let a fresh process answer some rows with it; give the version.

    `more` are tags of the version besides those that say where it comes from, and how good it is.

    Until `settle` is done, the version is marked as unfinished: who comes after a crash takes that one up. Nothing is
    left of a version that does not answer as it was judged.

    Raises:
        GateFailed: it does not.
        UnreachableError: the registry does not answer.
    """
    client = MlflowClient()
    was_there = _is_there(client, settings.name)
    if unfinished:
        version = unfinished.version
        tag(client, settings.name, version, more)
    else:
        tags = {**_tags(client, found), **more, UNFINISHED: "true"}
        if settings.approval == "required":
            tags[aliases.APPROVAL] = "required"
        version = versions.create(found.model.uri, settings.name, tags)
    try:
        _check_parity(found, settings, version)
        client.update_model_version(settings.name, version, description=_description(found))
    except BaseException:
        _undo(client, settings.name, version, whole=not was_there)
        raise
    return version


def tag(client: MlflowClient, name: str, version: str, tags: Mapping[str, str]) -> None:
    """Say more about a version that is there."""
    with versions.translated():
        for key, text in tags.items():
            client.set_model_version_tag(name, version, key, text)


def settle(client: MlflowClient, version: str, instead_of: str | None, settings: Register) -> None:
    """Give a version its alias: that of the champion, if it is to be promoted and needs no approval first.

    Raises:
        GateFailed: another has become champion meanwhile; the version stays a candidate.
    """
    name = settings.name
    if version != instead_of:
        aliases.nominate(client, name, version)
    with versions.translated():
        waits = settings.approval == "required" and not _is_approved(client, name, version)
        if waits:
            client.set_model_version_tag(name, version, aliases.APPROVAL, "required")
        if waits and settings.promote:
            client.set_model_version_tag(name, version, aliases.PENDING, instead_of or aliases.NOBODY)
        if UNFINISHED in client.get_model_version(name, version).tags:
            client.delete_model_version_tag(name, version, UNFINISHED)
    if waits:
        say(f"Version {version} waits for an approval: dlops approve {name} {version} --comment '…'")
    elif settings.promote:
        by = aliases.person(uri=mlflow.get_tracking_uri())
        say(str(aliases.promote(client, name, version, instead_of=instead_of, by=by)))
    else:
        say(f"Version {version} of {name} is a candidate: dlops promote {name} {version}")


def _check_parity(found: Judgement, settings: Register, version: str) -> None:
    rows = min(settings.parity_rows, len(found.split))
    if not rows:
        return
    uri = f"models:/{settings.name}/{version}"
    some = found.split.at(range(rows))
    others = parity.differences(uri, some, found.answers.rows[:rows], settings.parity_tolerance)
    if others:
        raise GateFailed(
            f"{uri}, loaded afresh, answers {len(others)} of {rows} rows otherwise than it was judged by;"
            " it is not registered.",
            problems=others[:10],
            hint="Does the model draw by chance, or read what lies outside of it? parity_tolerance= allows for more.",
        )
    say(f"{uri}, loaded afresh, answers {rows} rows as it was judged by")


def _tags(client: MlflowClient, found: Judgement) -> dict[str, str]:
    """Collect where a version comes from, and how good it is."""
    made, data = found.model.made_from, found.dataset
    run_id = made.get("run_id") or mlflow.models.get_model_info(found.model.uri).run_id or ""
    of_run: dict[str, str] = {}
    with contextlib.suppress(MlflowException):  # the run may be another store's
        of_run = client.get_run(run_id).data.tags if run_id else {}
    tags = {
        "dlops_run": run_id,
        "dlops_evaluation": str(record.run_id()),
        "dlops_dataset": str(made.get("dataset", "")),
        "dlops_dataset_digest": str(made.get("dataset_digest", "")),
        "dlops_backbone": str(made.get("backbone", "")),
        "dlops_evaluated_on": f"{data.reference} {found.settings.split}",
        "dlops_evaluated_on_digest": data.digest,
        "dlops_environment": _environment(client, run_id),
        **{f"dlops_{name}": of_run.get(f"dlops.{name}", "") for name in _OF_THE_RUN},
        **{f"{versions.METRIC}{found.settings.split}_{name}": f"{value:.6g}" for name, value in found.figures.items()},
    }
    return {name: text for name, text in tags.items() if text}


def _environment(client: MlflowClient, run_id: str) -> str:
    """Name the environment that the model was made in, if it was kept."""
    with contextlib.suppress(Exception):  # each kind of store has errors of its own
        return lineage.environment_of(client, run_id) if run_id else ""
    return ""


def _description(found: Judgement) -> str:
    """Give the model's card, else what is known of how good it is."""
    card: Any = ""
    with contextlib.suppress(Exception), logged_models.fetched(logged_models.origin(found.model.uri)) as folders:
        card = (folders.weights / "README.md").read_text(encoding="utf-8")
    body = re.sub(r"\A---\n.*?\n---\n", "", str(card), flags=re.DOTALL)
    return (body.strip() or found.verdict_told)[:_LONGEST]


def _is_there(client: MlflowClient, name: str) -> bool:
    try:
        client.get_registered_model(name)
    except MlflowException:
        return False
    return True


def _is_approved(client: MlflowClient, name: str, version: str) -> bool:
    return str(client.get_model_version(name, version).tags.get(aliases.APPROVAL)) == "approved"


def _undo(client: MlflowClient, name: str, version: str, *, whole: bool) -> None:
    """Remove a version, and the model that was made for it."""
    with contextlib.suppress(Exception):  # what is wrong is told, and that it could not be undone says nothing new
        client.delete_model_version(name, version)
        if whole and not client.search_model_versions(f"name='{name}'"):
            client.delete_registered_model(name)
