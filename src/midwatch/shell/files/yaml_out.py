"""Large YAML written fast: a thousand promises make nineteen thousand rules, which PyYAML takes most of a second to write.

Mappings, lists and texts only, keys in their order. Long or quoted texts stand as literal blocks, so that a query can be
copied out. A text that is not plainly printable is left to PyYAML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./@-]*(?::[A-Za-z0-9_./@-]+)*")
# What YAML 1.1 or 1.2 reads as something else than a text.
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def dumped(value: Any) -> str:
    """One document of dicts (with text keys), lists and texts. Reading it gives ``value`` back."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _entry(f"{indent}{_scalar(key, '')}:", inner, indent)
    elif isinstance(value, list) and value:
        for inner in value:
            first, *rest = _lines(inner, indent + "  ")
            yield f"{indent}- {first.lstrip(' ')}"
            yield from rest
    else:
        yield f"{indent}{_scalar(value, indent)}"


def _entry(head: str, inner: Any, indent: str) -> Iterator[str]:
    if isinstance(inner, dict) and inner:
        yield head
        yield from _lines(inner, indent + "  ")
    elif isinstance(inner, list) and inner:
        yield head
        yield from _lines(inner, indent)
    else:
        yield f"{head} {_scalar(inner, indent + '  ', block=True)}"


def _scalar(value: Any, indent: str, block: bool = False) -> str:
    if not isinstance(value, str):
        return "{}" if isinstance(value, dict) else "[]"
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if block and _is_block(value):
        body = value.removesuffix("\n")
        text = "\n".join(indent + line if line else "" for line in body.split("\n"))
        return f"{'|' if body != value else '|-'}\n{text}"
    if value.isprintable():
        return json.dumps(value, ensure_ascii=False)
    quoted = yaml.safe_dump(value, default_style='"', width=1_000_000_000, allow_unicode=False)
    return quoted.rstrip("\n")


def _is_block(value: str) -> bool:
    """Whether a literal block says just this: several lines, or quotes that would need escapes."""
    lines = value.removesuffix("\n").split("\n")
    return (
        (len(lines) > 1 or '"' in value)
        and bool(lines[0])
        and bool(lines[-1])
        and not lines[0].startswith(" ")
        and all(line.isprintable() for line in lines)
    )
