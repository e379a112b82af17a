from __future__ import annotations

import pytest

from dlops.config import schema
from dlops.errors import UsageError
from dlops.ml.settings import Finetune, Ingest


@pytest.mark.parametrize("settings", [Ingest, Finetune])
def test_the_defaults_are_a_whole_setting(settings):
    assert schema.parse(settings, []) == settings()


@pytest.mark.parametrize("settings", [Ingest, Finetune])
def test_every_parameter_is_described_in_a_sentence(settings):
    for parameter in schema.parameters(settings):
        assert parameter.description.endswith("."), parameter.name


def test_what_is_out_of_range_is_told_together():
    with pytest.raises(UsageError) as caught:
        schema.parse(Finetune, ["epochs=0", "learning_rate=-1", "strategy=frieze", "batch_size=many"])
    assert len(caught.value.problems) == 4
    assert "did you mean 'freeze'" in str(caught.value)


def test_splits_are_read_as_shares():
    assert schema.parse(Ingest, ["splits=0.6,0.1,0.3"]).splits == (0.6, 0.1, 0.3)
