"""A strict, typed reading of YAML: mappings whose keys are known, values of the type that is asked for.

Errors name the file and the path of the key (``nodes[2].prot: unknown key (did you mean 'port'?)``).
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import yaml

from cluster.config.errors import ConfigError

MERGED_KEYS_LIMIT = 1000
"""In one mapping, those that `<<` brings in: merges of merges grow without bound from a few lines."""
NUMBER_LIMIT_BITS = 1024
"""No directive has such a number, and Python refuses to print much longer ones."""


class _Strict(yaml.SafeLoader):
    """The safe loader, except that a key which stands twice in a mapping is an error, and that what its constructors
    stumble over (a date of the 31st of February, say) is an error of YAML's, too."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            problem = f"no value of the kind {str(node.tag).rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error
        if isinstance(value, int) and value.bit_length() > NUMBER_LIMIT_BITS:
            raise yaml.constructor.ConstructorError(None, None, "a number that is too large", node.start_mark)
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise yaml.constructor.ConstructorError(None, None, "half a character", node.start_mark)
        return value

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MERGED_KEYS_LIMIT:
            raise yaml.constructor.ConstructorError(None, None, "too many keys in one mapping", node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"key '{key.value}' stands twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(text: str, path: str) -> object:
    """Plain Python values. Raises ConfigError with the line of a syntax error."""
    try:
        return _Strict(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}" if mark is not None else path
        raise ConfigError(error.problem or "not YAML", place) from None
    except yaml.YAMLError as error:
        raise ConfigError(" ".join(str(error).split()), path) from None
    except RecursionError:
        raise ConfigError("nested too deep", path) from None
    except (ValueError, OverflowError):  # of an escape that names no character
        raise ConfigError("not YAML", path) from None


class Reader:
    """A mapping at a path. Every access checks; `only` refuses keys that nobody would read."""

    def __init__(self, value: object, file: str, path: str) -> None:
        self.file = file
        self.path = path
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise ConfigError("must be a mapping of keys to values", self._place(""))
        self.values: Mapping[object, object] = value

    def _place(self, key: str) -> str:
        path = f"{self.path}.{key}" if self.path and key else self.path or key
        return f"{self.file}: {path}" if path else self.file

    def error(self, key: str, cause: str) -> ConfigError:
        return ConfigError(cause, self._place(key))

    def only(self, *known: str) -> None:
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f" (did you mean '{near[0]}'?)" if near else f" (known: {', '.join(known)})"
                raise self.error(str(key), "unknown key" + hint)

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(key, f"must be a text, in quotes if need be, not {shown(value)}")
        return value

    def path_text(self, key: str, default: str) -> str:
        """The name of a file or a directory."""
        text = self.text(key, default)
        if "\0" in text:
            raise self.error(key, "can't contain a NUL")
        return text

    def truth(self, key: str, *, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"must be yes or no, not {shown(value)}")
        return value

    def integer(self, key: str, default: int | None, *, low: int, high: int) -> int:
        """With `default` None the key has to be there."""
        value = self.values.get(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(key, f"must be a whole number, not {shown(value)}")
        if not low <= value <= high:
            raise self.error(key, f"must be between {low} and {high}, not {value}")
        return value

    def section(self, key: str) -> Reader:
        """The mapping under `key`; an empty one when there is none."""
        return Reader(self.values.get(key), self.file, f"{self.path}.{key}" if self.path else key)

    def entries(self, key: str) -> Sequence[Reader]:
        """The mappings of the list under `key`."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(key, f"must be a list, not {shown(value)}")
        return [Reader(entry, self.file, f"{self.path}.{key}[{at}]".lstrip(".")) for at, entry in enumerate(value)]


def shown(value: object) -> str:
    """A value as a message can quote it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else repr(value)
