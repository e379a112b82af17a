"""The three spellings of a parameter on a command line: `KEY=VALUE`, `--key VALUE`, `--key=VALUE`."""

from __future__ import annotations

from collections.abc import Sequence

from dlops.errors import UsageError


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """Read parameters, split at the first `=`; `--learning-rate` and `--learning_rate` are the same.

    Raises:
        UsageError: words that are no parameter, an option without a value, a name given twice; all at once.
    """
    values: dict[str, str] = {}
    problems: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = name[2:].replace("-", "_")
            if not equals:
                if not words or words[0].startswith("--"):
                    problems.append(f"{word} needs a value: {name}=VALUE or {word} VALUE")
                    continue
                value = words.pop(0)
        elif not equals or not name or name.startswith("-"):
            problems.append(f"{word!r} is no parameter: write KEY=VALUE")
            continue
        if name in values:
            problems.append(f"{name!r} is given twice, as {values[name]!r} and {value!r}")
        values[name] = value
    if problems:
        raise UsageError("The parameters could not be read.", problems=problems)
    return values
