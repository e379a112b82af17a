from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from dlops.data import text_cleaning
from dlops.data.cleaning import Cleaning
from dlops.data.text_cleaning import Switches

TEXTS = ["a  <b>b</b>&amp;amp;lt;c", "caf\u0065\u0301 \ufb01ne", "x < y <br />z\x07", " plain ", ""]


def test_it_stands_alone():
    """It travels inside models that are loaded where nothing of this project is installed."""
    tree = ast.parse(Path(text_cleaning.__file__).read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.split(".")[0] for module in modules} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("told", [{}, {"html": False}, {"unicode": "NFKC"}, {"whitespace": False}])
def test_one_text_is_cleaned_as_columns_are(text, told):
    assert Switches(**told).clean(text) == Cleaning(**told).texts([text])[0]


def test_what_changed_a_text_is_told():
    changed: set[str] = set()
    assert Switches(whitespace=False).clean("a<br>b", changed) == "a\nb"
    assert changed == {"html"}
