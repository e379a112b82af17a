"""`dlops version`."""

from __future__ import annotations

from dlops import __version__
from dlops.cli import console
from dlops.cli.options import AsJson


def version(json: AsJson = False) -> None:
    """Print the version of dlops."""
    console.print_json({"dlops": __version__}) if json else console.out().print(__version__)
