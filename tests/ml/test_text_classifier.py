from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from dlops.ml import packaging


def test_it_stands_alone():
    """It is read where nothing of this project is installed."""
    tree = ast.parse(Path(packaging._CODE).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names)
    assert foreign == {"mlflow", "pandas", "safetensors", "torch", "transformers"}


def test_long_and_short_texts_keep_their_places(loaded, tmp_path, monkeypatch):
    import importlib.util
    from types import SimpleNamespace

    import pandas as pd

    network, tokenizer = loaded
    network.save(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    spec = importlib.util.spec_from_file_location("travelled", packaging._CODE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROWS", 3)
    classifier = module.TextClassifier()
    classifier.load_context(SimpleNamespace(artifacts={"model": str(tmp_path)}))
    texts = ["good " * count + "bad" for count in (9, 1, 30, 2, 7, 0, 200)]
    together = classifier.predict(None, pd.DataFrame({"text": texts}))
    for place, text in enumerate(texts):
        alone = classifier.predict(None, pd.DataFrame({"text": [text]}))
        assert abs(alone["score"][0] - together["score"][place]) < 1e-5
    for nothing in (None, float("nan"), pd.NA):
        with pytest.raises(ValueError, match="Row 1 has no text"):
            classifier.predict(None, pd.DataFrame({"text": ["good", nothing]}))
