"""Several counts of one thing that is seen a part at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass
class Tally:
    """Its fields are numbers."""

    def add(self, other: Self) -> None:
        """Take those of another part."""
        for own in fields(self):
            setattr(self, own.name, getattr(self, own.name) + getattr(other, own.name))
