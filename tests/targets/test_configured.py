"""`targets.yaml`: the user's own, checked whole, each mistake with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from dlops.errors import ConfigError
from dlops.targets import configured
from dlops.targets.ray import RaySettings


@dataclass(frozen=True, kw_only=True)
class Other:
    name: str
    count: int = 1
    note: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


KINDS = {"ray": RaySettings, "other": Other}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write the work folder's targets, or with `mine` the user's."""
    monkeypatch.chdir(tmp_path)

    def write(text, *, mine=False):
        file = configured.files()[1 if mine else 0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return configured.read(KINDS)

    return write


def test_what_is_said_is_read(written):
    found = written(
        """
gpu:
  kind: ray
  address: http://127.0.0.1:8265
  cpus: 4
  gpus: 0.5
  resources: {A100: 1}
  variables: {HF_HOME: /mnt/hf, N: 3}
  pass_variables: [HF_TOKEN]
  shared: [/mnt/data]
  verify: false
small: {kind: other, name: x, count: 2, note: y}
"""
    )
    assert found["gpu"].settings == RaySettings(
        address="http://127.0.0.1:8265",
        cpus=4.0,
        gpus=0.5,
        resources={"A100": 1.0},
        variables={"HF_HOME": "/mnt/hf", "N": "3"},
        pass_variables=("HF_TOKEN",),
        shared=("/mnt/data",),
        verify=False,
    )
    assert found["small"].settings == Other(name="x", count=2, note="y")
    assert found["gpu"].where.endswith("configs/targets.yaml:2")


def test_the_work_folder_wins_over_the_users_own(written):
    written("a: {kind: other, name: mine}\nb: {kind: other, name: mine}\n", mine=True)
    found = written("a: {kind: other, name: work}\n")
    assert {name: entry.settings.name for name, entry in found.items()} == {"a": "work", "b": "mine"}


def test_every_mistake_at_once(written):
    with pytest.raises(ConfigError) as caught:
        written(
            """
local: {kind: ray, address: x}
none: text
odd: {kind: rai}
gpu: {kind: ray, adress: x, cpus: many, gpus: -1, resources: {A100: x}, shared: /mnt, verify: 1, pass_variables: [1]}
other: {kind: other, count: 1.5, labels: [a]}
"""
        )
    told = [problem.partition("targets.yaml:")[2] for problem in caught.value.problems]
    assert told == [
        "2: local is this machine, and always there: choose another name",
        "3: none holds KEY: VALUE lines, not 'text'",
        "4: odd is of no known kind: kind is ray, other, not 'rai'; did you mean 'ray'?",
        "5: gpu: 'adress' is unknown; did you mean 'address'?",
        "5: gpu: cpus takes a number of at least 0, not 'many'",
        "5: gpu: gpus takes a number of at least 0, not -1",
        "5: gpu: resources takes a number of at least 0, not 'x'",
        "5: gpu: shared takes a list, not '/mnt'",
        "5: gpu: verify takes true or false, not 1",
        "5: gpu: pass_variables takes a text, not 1",
        "5: gpu: address is missing",
        "6: other: count takes a whole number of at least 0, not 1.5",
        "6: other: labels takes NAME: VALUE lines, not ['a']",
        "6: other: name is missing",
    ]


def test_none_is_none(written, tmp_path):
    assert configured.read(KINDS) == {}
    assert written("# nothing\n") == {}
