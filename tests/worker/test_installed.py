"""What this interpreter has, as its own tools list it."""

from __future__ import annotations

import re
from importlib import metadata

from dlops.worker import installed


def test_every_package_is_named_with_its_version():
    def plain(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    found = dict(line.split("==", 1) for line in installed.packages().splitlines())
    known = {plain(name): version for name, version in found.items()}
    for name in ("mlflow", "torch", "pytorch-lightning", "ray"):
        assert known[name] == metadata.version(name)
