"""`dlops version`."""

from __future__ import annotations

import json
import subprocess
import sys

from dlops import __version__


def test_as_text_and_as_a_document(typed):
    assert typed("--version")[0] == f"{__version__}\n"
    assert typed("version")[0] == f"{__version__}\n"
    assert json.loads(typed("version", "--json")[0]) == {"dlops": __version__}


def test_as_an_option_nothing_is_imported_for_it():
    program = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "sys.argv = ['dlops', '--version']; from dlops.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{__version__}\n"
    assert not {"mlflow", "torch", "dlops.cli.options", "dlops.cli.status"} & set(done.stderr.split())
