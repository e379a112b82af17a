"""Who is the champion: promotion, approval and the way back, each as one change that others see whole or not at all."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from dlops.errors import GateFailed, UsageError
from dlops.registry import lock, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

CANDIDATE, CHAMPION = "candidate", "champion"
HISTORY = "dlops_champion_history"
"""Tag of a registered model: the versions that were champion, the present one last, as JSON."""
APPROVAL = "dlops_approval"
"""Tag of a version: `required`, until it is `approved`."""
PENDING = "dlops_promote"
"""Tag of a version that is to be promoted once it is approved: the champion that it was compared with."""
NOBODY = "nobody"
"""What stands for no champion."""
_KEPT = 50
_LONGEST = 900
"""Characters of a comment."""
_USERS = "/api/2.0/mlflow/users/get"
"""Where a server with MLflow's own authentication tells a user of themselves."""


@dataclass(frozen=True)
class Move:
    """What became of an alias."""

    name: str
    version: str
    before: str | None
    """Version that held the alias."""
    changed: bool = True

    def __str__(self) -> str:
        if not self.changed:
            return f"Version {self.version} of {self.name} is the champion already."
        before = f"; before it was version {self.before}" if self.before else ""
        return f"Version {self.version} of {self.name} is the champion{before}."

    def document(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Person:
    """Who did something."""

    name: str
    known: bool
    """Whether the store knows them, else they said so."""

    def tags(self, what: str) -> dict[str, str]:
        """Give the tags that record it, with the time."""
        return {
            f"dlops_{what}_by": self.name,
            f"dlops_{what}_by_known": "store" if self.known else "stated",
            f"dlops_{what}_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def person(stated: str = "", *, uri: str = "") -> Person:
    """Say who acts: as the store at `uri` knows them, where it says so, else as stated, or as this machine does."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    if name and _is_known(name, uri):
        return Person(name, known=True)
    try:
        return Person(stated or getpass.getuser(), known=False)
    except (KeyError, OSError):  # a user without a name
        return Person("unknown", known=False)


def _is_known(name: str, uri: str) -> bool:
    """Ask a server whether it knows a user by their password; one that asks nobody for it knows nobody."""
    if not uri.startswith(("http://", "https://")):
        return False
    import requests

    try:
        answer = requests.get(
            f"{uri.rstrip('/')}{_USERS}",
            params={"username": name},
            auth=(name, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")),
            timeout=10,
        )
        return answer.status_code == HTTPStatus.OK and bool(answer.json()["user"]["username"] == name)
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return False


def holder(client: MlflowClient, name: str, alias: str = CHAMPION) -> str | None:
    """Give the version that holds an alias."""
    held = client.get_registered_model(name).aliases.get(alias)
    return None if held is None else str(held)


def nominate(client: MlflowClient, name: str, version: str) -> Move:
    """Make a version the candidate."""
    with versions.translated(), lock.held(client, name) as still:
        before = holder(client, name, CANDIDATE)
        still()
        client.set_registered_model_alias(name, CANDIDATE, version)
    return Move(name, version, before, changed=before != version)


def promote(client: MlflowClient, name: str, version: str, *, instead_of: str | None, by: Person) -> Move:
    """Make a version the champion, if that is still `instead_of` (`None`: if there is none).

    Raises:
        GateFailed: another has become champion meanwhile, or the version waits for an approval.
    """
    with versions.translated(), lock.held(client, name) as still:
        before = holder(client, name)
        if before == version:
            return Move(name, version, before, changed=False)
        if before != instead_of:
            raise GateFailed(
                f"{name} has another champion meanwhile: version {before or NOBODY}, not {instead_of or NOBODY}.",
                hint=f"Compare version {version} with that one, and promote it again.",
            )
        tags = client.get_model_version(name, version).tags
        if tags.get(APPROVAL) == "required":
            raise GateFailed(
                f"Version {version} of {name} waits for an approval.",
                hint=f"dlops approve {name} {version} --comment '…'",
            )
        past = _past(client, name, before)
        if PENDING in tags:
            client.delete_model_version_tag(name, version, PENDING)
        _tag_all(client, name, version, by.tags("promoted"))
        still()
        client.set_registered_model_tag(name, HISTORY, json.dumps([*past, version][-_KEPT:]))
        still()
        client.set_registered_model_alias(name, CHAMPION, version)
    return Move(name, version, before)


def rollback(client: MlflowClient, name: str, *, by: Person) -> Move:
    """Make champion again who was it before, of those versions that are still there.

    Raises:
        UsageError: there is none.
    """
    with versions.translated(), lock.held(client, name) as still:
        before = holder(client, name)
        past = _past(client, name, before)
        there = {found.version for found in versions.of(client, name)}
        while past and (past[-1] == before or past[-1] not in there):
            past = past[:-1]
        if not past:
            raise UsageError(
                f"{name} has no earlier champion to go back to.", hint=f"`dlops promote {name} VERSION` makes one."
            )
        _tag_all(client, name, past[-1], by.tags("promoted"))
        still()
        client.set_registered_model_alias(name, CHAMPION, past[-1])  # first: what is written of it is mended by it
        client.set_registered_model_tag(name, HISTORY, json.dumps(past))
    return Move(name, past[-1], before)


def approve(client: MlflowClient, name: str, version: str, comment: str, *, by: Person) -> Move | None:
    """Record an approval; give the promotion that waited for it, if one did.

    Raises:
        UsageError: no approval is asked for.
        GateFailed: the version waited for its promotion, and there is another champion meanwhile; it stays approved.
    """
    tags: Mapping[str, Any] = versions.asked(lambda: client.get_model_version(name, version)).tags
    if APPROVAL not in tags:
        raise UsageError(
            f"Version {version} of {name} waits for no approval.",
            hint="`dlops register … approval=required` asks for one.",
        )
    if tags[APPROVAL] == "required":
        with versions.translated():
            _tag_all(client, name, version, {**by.tags("approved"), "dlops_approval_comment": comment[:_LONGEST]})
            client.set_model_version_tag(name, version, APPROVAL, "approved")
    if PENDING not in tags:
        return None
    compared = str(tags[PENDING])
    try:
        return promote(client, name, version, instead_of=None if compared == NOBODY else compared, by=by)
    except GateFailed:
        with versions.translated():
            client.delete_model_version_tag(name, version, PENDING)
        raise


def _past(client: MlflowClient, name: str, present: str | None) -> list[str]:
    """Read who was champion, the present one last: what is the alias' counts, whatever was written of it."""
    past: list[str] = json.loads(client.get_registered_model(name).tags.get(HISTORY, "[]"))
    if present is None:
        return past
    if present not in past:
        return [*past, present]
    while past[-1] != present:
        past = past[:-1]
    return past


def _tag_all(client: MlflowClient, name: str, version: str, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
