from __future__ import annotations

import deltalake
import pyarrow as pa
import pytest

from dlops.data import shares, tables


def counted(tmp_path, **columns):
    deltalake.write_deltalake(tmp_path / "t", pa.table(columns))
    return shares.count(tables.read(str(tmp_path / "t"))[0])


def test_classes_by_split(tmp_path):
    found = counted(
        tmp_path, text=["a", "b", "c", "d"], label=["x", "y", "x", None], split=["train", "train", "test", "test"]
    )
    assert found.as_dict() == {
        "rows": 4,
        "rows_by_split": {"train": 2, "test": 2},
        "label_shares": {
            "": {"train": 0.0, "test": 0.5},
            "x": {"train": 0.5, "test": 0.5},
            "y": {"train": 0.5, "test": 0.0},
        },
        "label_numbers": {},
    }


def test_a_row_of_several_labels_counts_for_each(tmp_path):
    found = counted(tmp_path, label=[["x", "y"], ["y"], []], split=["train"] * 3)
    assert found.rows == {"train": 3}
    assert {label: dict(by) for label, by in found.labels.items()} == {"x": {"train": 1}, "y": {"train": 2}}


def test_numbers_have_bounds_and_a_mean(tmp_path):
    found = counted(tmp_path, label=[1.0, 2.5, None, -4.0], split=["train", "train", "train", "val"])
    assert found.as_dict()["label_numbers"] == {
        "train": {"minimum": 1.0, "mean": 1.75, "maximum": 2.5},
        "val": {"minimum": -4.0, "mean": -4.0, "maximum": -4.0},
    }
    assert not found.labels


@pytest.mark.parametrize(
    ("columns", "labels"), [({"text": ["a", "b"]}, {}), ({"label": [0, 1]}, {"0": {"all": 1}, "1": {"all": 1}})]
)
def test_a_table_of_another_making_may_lack_columns(tmp_path, columns, labels):
    found = counted(tmp_path, **columns)
    assert found.rows == {"all": 2}
    assert found.labels == labels
    assert found.labelled == ("label_shares" in found.as_dict()) == bool(labels)
