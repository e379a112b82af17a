from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlops.errors import StepFailed
from dlops.ml import user_callbacks

MODULE = """
import pytorch_lightning as pl

class Watch(pl.Callback):
    pass

def made():
    return Watch()

class Choosy(pl.Callback):
    def __init__(self, wanted):
        pass

class Other:
    pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A package of the user's, importable as `mine.tools`; a name of its own keeps tests apart."""
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "tools.py").write_text(MODULE)
    (tmp_path / name / "broken.py").write_text("import no_such_thing_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_classes_and_functions_make_callbacks_in_their_order(mine):
    found = user_callbacks.load([f"{mine}.tools:made", "pytorch_lightning.callbacks:Timer", f"{mine}.tools:Watch"])
    assert [type(callback).__name__ for callback in found] == ["Watch", "Timer", "Watch"]
    assert found[0] is not found[2]
    assert user_callbacks.load([]) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_thing:Watch", "there is no module no_such_thing"),
        ("{mine}.absent:Watch", r"there is no module mine_\w+\.absent"),
        ("{mine}.broken:Watch", "there is no module no_such_thing_at_all"),
        ("{mine}.tools:Clock", r"mine_\w+\.tools has no Clock"),
        ("{mine}.tools", "it names no callback"),
        ("{mine}.tools:", "it names no callback"),
        (":Watch", "it names no callback"),
        (".tools:Watch", "it names no callback"),
        ("{mine}.tools:Choosy", "cannot be called without arguments: .*wanted"),
        ("{mine}.tools:Other", "what it makes is a Other"),
        ("{mine}.tools:pl", "cannot be called"),
    ],
)
def test_what_is_no_callback_is_told_with_its_name(mine, name, said):
    name = name.format(mine=mine)
    with pytest.raises(StepFailed, match=said) as caught:
        user_callbacks.load([name])
    assert str(caught.value).startswith(f"callbacks={name}: ")


def test_a_module_in_the_working_folder_is_found(tmp_path):
    (tmp_path / "own_tools.py").write_text(MODULE)
    program = "from dlops.ml import user_callbacks\nprint(user_callbacks.load(['own_tools:Watch']))"
    (tmp_path / "own_step.py").write_text(program)
    environ = os.environ | {"PYTHONPATH": str(Path(user_callbacks.__file__).parents[2])}
    command = [sys.executable, "-m", "own_step"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("[<own_tools.Watch object"), done.stderr
