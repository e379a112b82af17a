"""What this interpreter can import, as one `NAME==VERSION` a line."""

from __future__ import annotations

import sys
from pathlib import Path


def packages() -> str:
    """List the packages by their `.dist-info` folders: reading each would take 0.2 s."""
    found = {file.stem for entry in sys.path if entry for file in Path(entry).glob("*.dist-info")}
    return "".join(f"{name.replace('-', '==', 1)}\n" for name in sorted(found, key=str.lower))
