"""YAML as people write it: `2e-5` is a number, a key is given once, an error names its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dlops.errors import ConfigError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Take keys as they are written: a parameter may be called `on`."""
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


class _TextLoader(_Loader):
    """Reads values as they are written too, all but null: `1.10` and `yes` are what the command line would take."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's
        first: [(tag, regexp) for tag, regexp in resolvers if tag.endswith((":null", ":merge"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


# YAML 1.1 wants a dot and a sign in an exponent, so that PyYAML reads `2e-5` as text; YAML 1.2 does not.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


@dataclass(frozen=True)
class Document:
    """A mapping read from a file, with the line each top-level key stands on (counted from 1)."""

    path: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """Give `FILE:LINE` of a key."""
        return f"{self.path}:{self.lines[key]}" if key in self.lines else str(self.path)


def load(path: Path, *, as_text: bool = False) -> Document:
    """Read a mapping from a YAML file; an empty file is an empty mapping.

    With `as_text`, what YAML would make a number, a date or true or false stays the text that is written.

    Raises:
        ConfigError: the file cannot be read, is not YAML, is no mapping, or gives a key twice.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    return _read(path, as_text, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=64)
def _read(path: Path, as_text: bool, *_stamp: int) -> Document:
    """Read a file once, as long as its time stamp is the same: a pipeline looks at each of its files many times."""
    try:
        loader = (_TextLoader if as_text else _Loader)(path.read_text(encoding="utf-8"))
        loader.name = str(path)
        node = loader.get_single_node()
        if node is None:
            return Document(path)
        _refuse_repeated_keys(node, path, set())
        values = loader.construct_document(node)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.", hint="Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}{line} is not valid YAML: {what}.") from error
    except (ValueError, RecursionError) as error:  # a 31st of February; a thousand brackets
        raise ConfigError(f"{path} is not valid YAML: {error}.") from error
    if values is None:  # a lone `---`
        return Document(path)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path} must hold KEY: VALUE lines, not a {type(values).__name__}.")
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return Document(path, {str(key): value for key, value in values.items()}, lines)


def _refuse_repeated_keys(node: yaml.Node, path: Path, visited: set[int]) -> None:
    """Refuse what PyYAML swallows: of a key given twice it keeps the last and says nothing."""
    if id(node) in visited:  # an alias; of itself even
        return
    visited.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ConfigError(f"{path}:{line}: {key.value!r} is given twice, first on line {seen[key.value]}.")
                seen[key.value] = line
            _refuse_repeated_keys(value, path, visited)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, path, visited)
