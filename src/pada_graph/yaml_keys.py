"""YAML in which no key stands twice: the loader of PyYAML silently keeps the last one."""

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key which its section has already."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As SafeLoader does.

        Raises:
            yaml.YAMLError: a key stands twice; names it and both lines.
        """
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise yaml.YAMLError(
                        f"the key {key.value!r} stands in line {lines[key.value]} and again in line {line}; keep one"
                    )
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def load(text: str) -> Any:
    """Read YAML.

    Raises:
        yaml.YAMLError: it is none, or a key stands twice in one section.
    """
    return yaml.load(text, _Loader)
