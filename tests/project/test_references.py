from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dlops.errors import ConfigError, UsageError
from dlops.project import references, runs


def referred(store):
    return {(found.run_id, found.uri, found.version) for found in references.of_runs(store)}


def test_parameters_outputs_and_inputs_of_any_run(client, store, monkeypatch, tmp_path):
    from mlflow.entities import Dataset, DatasetInput

    experiment = client.create_experiment("e", artifact_location=str(tmp_path / "artifacts"))
    made = [client.create_run(experiment, start_time=1_700_000_000_123).info.run_id for _ in range(5)]
    client.log_param(made[0], "dataset", "/data/reviews@3")
    client.log_param(made[1], "data", "s3://bucket/reviews@2026-01-31T00:00:00Z")
    client.set_tag(made[2], "dlops.output.dataset", "/data/reviews@4")
    client.log_param(made[3], "dataset", "/data/reviews")
    client.log_param(made[3], "epochs", "3")
    client.log_param(made[4], "dataset", f"runs:/{made[2]}/dataset")
    read = json.dumps({"path": "/data/reviews", "delta_table_version": 4})
    for source in (read, "no JSON", json.dumps({"path": "/data/reviews"}), "[]"):
        dataset = Dataset(name="reviews", digest=str(hash(source))[:8], source_type="delta_table", source=source)
        client.log_inputs(made[4], [DatasetInput(dataset)])
    began = datetime.fromtimestamp(1_700_000_000.123, UTC).isoformat(timespec="milliseconds")
    expected = {
        (made[0], "/data/reviews", 3),
        (made[1], "s3://bucket/reviews", "2026-01-31T00:00:00Z"),
        (made[2], "/data/reviews", 4),
        (made[3], "/data/reviews", began),
        (made[4], "/data/reviews", 4),
    }
    assert referred(store) == expected
    monkeypatch.setattr(runs, "_PAGE", 2)
    assert referred(store) == expected


def test_a_store_without_runs_refers_to_nothing(store):
    assert referred(store) == set()


def test_a_store_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="Nothing is recorded"):
        referred(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(ConfigError):
        referred("nonsense:")
