"""The shared options, and how they stand beside the project's own parameters."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from dlops.cli import options
from dlops.cli.options import Common, Overrides, request, with_common
from dlops.errors import UsageError


def test_a_command_gets_one_option_for_each_field():
    seen = {}

    @with_common
    def command(step: str, overrides: Overrides = None, *, common: Common) -> None:
        """Says."""
        seen.update(step=step, overrides=overrides, common=common)

    assert list(inspect.signature(command).parameters) == ["step", "overrides", *(f.name for f in fields(Common))]
    command(step="s", overrides=["a=1"], **{field.name: field.default for field in fields(Common)})
    assert seen == {"step": "s", "overrides": ["a=1"], "common": Common()}
    assert command.__doc__ == "Says."


def test_an_option_that_means_nothing_is_left_out():
    def command(*, common: Common) -> None:
        assert common == Common(uri="u")

    fewer = with_common(command, without=("quiet", "detach"))
    names = [field.name for field in fields(Common) if field.name not in ("quiet", "detach")]
    assert list(inspect.signature(fewer).parameters) == names
    fewer(**{field.name: field.default for field in fields(Common) if field.name in names} | {"uri": "u"})


def test_a_request_holds_what_was_typed():
    common = Common(config=[Path("a.yaml")], uri="u", on="t", env="uv", experiment="e", run_name="n", entry_point="p")
    found = request("finetune", ["--lr", "1"], common)
    assert (found.step, found.given, found.config_files) == ("finetune", {"lr": "1"}, (Path("a.yaml"),))
    assert (found.uri, found.target, found.environment, found.experiment) == ("u", "t", "uv", "e")
    assert (found.run_name, found.entry_point) == ("n", "p")
    assert request("x", None, Common()).given == {}
    with pytest.raises(UsageError):
        request("x", ["words"], Common())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], (".", "", "")),
        (["--help"], (".", "", "")),
        (["--uri", "a", "-e", "b", "-v", "v1.0", "--help"], ("a", "b", "v1.0")),
        (["--uri=a=b", "--entry-point=c", "--version=main"], ("a=b", "c", "main")),
        (["--uri"], ("", "", "")),
    ],
)
def test_where_the_project_is_when_help_is_asked_for(words, found):
    assert options._project_options(["dlops", "finetune", *words]) == found
