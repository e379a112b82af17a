"""What the tests of the heavy half share: a model small enough to train in a second, and an open run."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = ("good", "great", "lovely", "bad", "awful", "dull", "film", "plot", "acting", "the", "was", "a", "not", "and")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with an untrained BERT of two narrow layers, and a tokenizer of a few words."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    torch.set_num_threads(1)  # two threads on so small a model wait for each other most of the time
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertModel(
        BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.2, **sizes)
    )
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


CODE = """
from torch import nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

class OwnConfig(BertConfig):
    model_type = "own"

class OwnModel(BertModel):
    config_class = OwnConfig

class OwnClassifier(BertPreTrainedModel):
    config_class = OwnConfig
    base_model_prefix = "encoder"

    def __init__(self, config):
        super().__init__(config)
        self.encoder = OwnModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, labels=None, **inputs):
        return SequenceClassifierOutput(logits=self.classifier(self.encoder(**inputs).pooler_output))
"""


@pytest.fixture(scope="session")
def custom_model(tiny_model, tmp_path_factory) -> Path:
    """The tiny model as one of an architecture that transformers does not know: its code comes with it."""
    folder = Path(shutil.copytree(tiny_model, tmp_path_factory.mktemp("models") / "own"))
    (folder / "own.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    names = {"Config": "Config", "Model": "Model", "ModelForSequenceClassification": "Classifier"}
    config |= {"model_type": "own", "auto_map": {f"Auto{name}": f"own.Own{ours}" for name, ours in names.items()}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def loaded(tiny_model):
    """The tiny model and its tokenizer, with a fresh head for two labels."""
    from dlops.ml import backbones, targets, training

    training.seed(0)
    return backbones.load(backbones.locate(str(tiny_model)), targets.of("classes", ("negative", "positive"), []))


@pytest.fixture
def run(tmp_path, monkeypatch, initialised_store):
    """An open MLflow run in a store of the test's own."""
    import mlflow

    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment(tmp_path.name)
    with mlflow.start_run() as active:
        yield active
    mlflow.set_tracking_uri(None)


# Neither the checkout nor the environment's editable install may offer `dlops` to whoever loads a model.
BARE = """
import json, sys
MISSING = {"dlops", "pipelines", "pytorch_lightning", *sys.argv[3:]}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(pandas.DataFrame(json.loads(sys.argv[2])))
assert not MISSING & set(sys.modules)
print(json.dumps(answers.to_dict("records")))
"""


def answered_elsewhere(model: str, columns: dict, folder: Path, *missing: str) -> list[dict]:
    """Let a fresh process answer, in which neither dlops nor what is `missing` can be imported."""
    import mlflow

    environ = {**os.environ, "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    if not model.startswith(("models:", "runs:")):
        environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    environ.pop("PYTHONPATH", None)
    command = [sys.executable, "-P", "-c", BARE, model, json.dumps(columns), *missing]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def dataset_rows(texts, labels, shares):
    """Columns of a dataset's table: each text once, with its last label, dealt to splits of these shares."""
    from dlops.data import splits

    kept = dict(zip(texts, labels, strict=True))
    return {
        "id": [splits.identity(text) for text in kept],
        "text": list(kept),
        "label": list(kept.values()),
        "split": [splits.assign(text, shares, 0) for text in kept],
    }


def simple_rows(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of known words and their labels: as easy as can be."""
    generator = random.Random(seed)
    texts, labels = [], []
    for _ in range(count):
        label = generator.choice(("negative", "positive"))
        words = WORDS[:3] if label == "positive" else WORDS[3:6]
        filler = " ".join(generator.choices(WORDS[6:12], k=generator.randrange(2, 20)))
        texts.append(f"{filler} {generator.choice(words)}")
        labels.append(label)
    return texts, labels
