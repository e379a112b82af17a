"""Hold the README's command list to `dlops --help`: the same commands, in the same order, with the same words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def documented(readme: str) -> list[tuple[str, str]]:
    """Read the rows of the README's command list: | `dlops NAME …` | summary |."""
    return re.findall(r"^\| `dlops ([a-z]+)[^`]*` \| (.*?) \|$", readme, flags=re.MULTILINE)


def offered(help_text: str) -> list[tuple[str, str]]:
    """Read the commands of the overview that `dlops --help` prints."""
    return re.findall(r"^ ([a-z]+) {3,}(\S.*?) *$", help_text, flags=re.MULTILINE)


def main() -> int:
    """Compare them; exit 1 and say what differs."""
    command = [sys.executable, "-m", "dlops.cli.main", "--help"]
    in_help = offered(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    in_readme = documented(README.read_text(encoding="utf-8"))
    if in_readme == in_help and in_help:
        return 0
    print("README.md and `dlops --help` disagree about the commands:", file=sys.stderr)
    for name, summary in [*in_readme, *in_help]:
        here, there = (name, summary) in in_readme, (name, summary) in in_help
        if here != there:
            print(f"  only in {'README.md' if here else '--help'}: {name}: {summary}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
