from __future__ import annotations

import math
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlops.errors import StepFailed
from dlops.ml import checkpoints

PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False)
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), NESTED, max_size=4))
def test_whatever_it_holds_comes_back(tmp_path_factory, state):
    file = tmp_path_factory.mktemp("state") / "a.safetensors"
    checkpoints.write(state, file)
    assert checkpoints.read(file) == state


def test_tensors_come_back_bit_by_bit_with_their_types(tmp_path):
    shared = torch.randn(3, 4)
    state = {
        "state": {0: {"exp_avg": shared, "step": torch.tensor(5.0)}, 1: {"exp_avg": shared.T}},
        "mask": torch.tensor([True, False]),
        "half": torch.randn(5).to(torch.bfloat16),
        "nothing": torch.empty(0, 3),
        "loss": math.nan,
    }
    file = tmp_path / "a.safetensors"
    checkpoints.write(state, file)
    found = checkpoints.read(file)
    assert torch.equal(found["state"][0]["exp_avg"], shared)
    assert torch.equal(found["state"][1]["exp_avg"], shared.T)
    for name in ("mask", "half", "nothing"):
        assert torch.equal(found[name], state[name])
        assert found[name].dtype == state[name].dtype
    assert math.isnan(found["loss"])
    assert [left.name for left in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "noise", "gone", "foreign"])
def test_what_is_damaged_is_told_with_its_name(tmp_path, damage):
    file = tmp_path / "a.safetensors"
    checkpoints.write({"weights": torch.randn(100)}, file)
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    match damage:
        case "cut":
            file.write_bytes(content[:-50])
        case "flipped":
            file.write_bytes(content)
        case "noise":
            file.write_bytes(os.urandom(200))
        case "gone":
            file.unlink()
        case _:
            from safetensors.torch import save_file

            save_file({"weights": torch.randn(3)}, file)
    with pytest.raises(StepFailed, match=f"{file} cannot be read"):
        checkpoints.read(file)


def test_a_folder_that_cannot_be_written_is_a_loud_failure(tmp_path):
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(StepFailed, match=r"folder/a\.safetensors cannot be written") as caught:
        checkpoints.write({"a": 1}, tmp_path / "folder" / "a.safetensors")
    assert "room" in caught.value.hint


def test_an_earlier_one_stays_when_a_later_one_fails(tmp_path, monkeypatch):
    file = tmp_path / "a.safetensors"
    checkpoints.write({"a": 1}, file)

    def full(*arguments, **others):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(StepFailed, match="No space left"):
        checkpoints.write({"a": 2}, file)
    assert checkpoints.read(file) == {"a": 1}
    assert [left.name for left in tmp_path.iterdir()] == ["a.safetensors"]


def test_what_cannot_be_kept_without_a_pickle_is_refused(tmp_path):
    with pytest.raises(TypeError, match="cannot hold a object"):
        checkpoints.write({"a": object()}, tmp_path / "a.safetensors")
