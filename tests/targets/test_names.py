"""Targets by name: `local` always exists, the others are configured by the user."""

from __future__ import annotations

import pytest

from dlops.errors import ConfigError, UsageError
from dlops.targets import names
from dlops.targets.hosted import Hosted
from dlops.targets.remote import Remote

GPU = "gpu: {kind: ray, address: 'http://127.0.0.1:1', pass_variables: [OF_TODAY]}\n"


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/targets.yaml").write_text(GPU)


def test_local_always_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names.known() == ["local"]
    assert names.named("local").name == "local"
    assert names.clusters("local") == []


def test_a_configured_one_is_a_cluster(gpu, monkeypatch):
    assert names.known() == ["local", "gpu"]
    with pytest.raises(ConfigError, match=r"targets.yaml:1: gpu passes OF_TODAY on, which this shell does not have"):
        names.named("gpu")
    monkeypatch.setenv("OF_TODAY", "x")
    target = names.named("gpu")
    assert isinstance(target, Remote)
    assert (target.name, target.here) == ("gpu", False)
    (cluster,) = names.clusters("gpu")
    assert cluster.settings.address == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "said"),
    [("locl", "There is no target 'locl'; did you mean 'local'?"), ("cloud", "There is no target 'cloud'.")],
)
def test_an_unknown_one_is_told_with_the_nearest(gpu, name, said):
    with pytest.raises(UsageError) as caught:
        names.named(name)
    assert str(caught.value) == said
    assert caught.value.hint.startswith("There is: local, gpu. Others are configured in ")
    assert names.clusters(name) == []


def test_wrong_targets_hinder_nobody_who_stays_here(gpu, tmp_path):
    (tmp_path / "configs/targets.yaml").write_text("gpu: {kind: none}\n")
    assert names.named("local").name == "local"
    assert names.clusters("gpu") == []
    with pytest.raises(ConfigError, match="The targets cannot be used"):
        names.known()


def test_a_place_may_have_a_service_of_its_own_for_a_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/targets.yaml").write_text("dbx: {kind: databricks, folder: /Volumes/main/ml/films}\n")
    assert type(names.named("dbx", "serve")) is Hosted
    assert type(names.named("dbx", "predict")) is type(names.named("dbx")) is Remote
    assert [type(cluster).__name__ for cluster in names.clusters("dbx")] == ["Databricks", "DatabricksEndpoint"]
