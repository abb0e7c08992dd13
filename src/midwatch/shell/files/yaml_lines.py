"""YAML that remembers where everything stood, so that a complaint can name file, line and key.

Plain YAML 1.1 as PyYAML's safe loader reads it, with three differences: a key that stands twice in a mapping is an
error, keys are text, and what aliases expand to is bounded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from midwatch.model.errors import ConfigError

MAX_BYTES: Final = 1_000_000
MAX_NODES: Final = 50_000
Place = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """What is wrong in a file. ``line`` counts from 1; 0 means the file as a whole. ``code`` stays the same when the
    words change, so that programs can go by it."""

    path: str
    line: int
    key: str
    message: str
    hint: str = ""
    code: str = "invalid"

    def error(self) -> ConfigError:
        return ConfigError(self.message, path=self.path, line=self.line, key=self.key, hint=self.hint)

    def __str__(self) -> str:
        return str(self.error()) + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True)
class Document:
    """One YAML document: its ``value``, and the line of every place in it (a place is the keys and indices to it).

    ``texts`` holds how a scalar that is not text was written (``99.90``, ``yes``, ``2022-01-01 12:00:00``). A value that was
    rewritten from another form says with ``moved`` where its parts stood, so that problems name what a person wrote.
    """

    path: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)
    texts: dict[Place, str] = field(default_factory=dict)
    moved: Mapping[Place, Place] = field(default_factory=dict)

    def original(self, place: Sequence[str | int]) -> Place:
        """Where ``place`` stood in the file."""
        at = tuple(place)
        for cut in range(len(at), -1, -1):
            if at[:cut] in self.moved:
                return self.moved[at[:cut]] + at[cut:]
        return at

    def knows(self, place: Sequence[str | int]) -> bool:
        return self.original(place) in self.lines

    def line(self, place: Sequence[str | int]) -> int:
        """The line of ``place``, or of the nearest place around it."""
        at = self.original(place)
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def problem(self, place: Sequence[str | int], message: str, hint: str = "", code: str = "invalid") -> Problem:
        return Problem(self.path, self.line(place), dotted(self.original(place)), message, hint, code)

    def part(self, place: Place) -> Document:
        """What lies at ``place`` as a document of its own."""
        value = self.value
        for step in place:
            value = value[step]
        return Document(self.path, value, self.lines, self.texts, {(): self.original(place)})


def dotted(place: Sequence[str | int]) -> str:
    """``spec.objectives[0].target``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_documents(path: Path) -> tuple[list[Document], list[Problem]]:
    """Every document of a file, and what is wrong with it as YAML (then there are no documents). Never raises."""
    name = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            return [], [Problem(name, 0, "", f"is larger than {MAX_BYTES} bytes", "split it", "file-too-large")]
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        return [], [Problem(name, 0, "", "is not UTF-8", "save it as UTF-8", "file-unreadable")]
    except OSError as error:
        hint = "does it exist, may this user read it?"
        return [], [Problem(name, 0, "", f"cannot be read: {error.strerror}", hint, "file-unreadable")]
    return parse(text, name)


def parse(text: str, path: str = "") -> tuple[list[Document], list[Problem]]:
    """Like ``read_documents``, of a text."""
    documents: list[Document] = []
    try:
        loader = yaml.SafeLoader(text)
        try:
            while loader.check_node():
                builder = _Builder(loader, path)
                value = builder.build(loader.get_node(), ())
                if value is not None:
                    documents.append(Document(path, value, builder.lines, builder.texts))
        finally:
            loader.dispose()
    except _Wrong as wrong:
        return [], [Problem(path, wrong.line, wrong.key, wrong.message, wrong.hint, "yaml")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or str(error).partition("\n")[0]
        line = mark.line + 1 if mark else 0
        return [], [Problem(path, line, "", f"is not YAML: {message}", "check the indentation", "yaml")]
    except (ValueError, RecursionError) as error:
        return [], [Problem(path, 0, "", f"cannot be read: {type(error).__name__}", "", "yaml")]
    return documents, []


class _Wrong(Exception):
    def __init__(self, line: int, key: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.key, self.message, self.hint = line, key, message, hint


class _Builder:
    """From nodes to values, noting lines."""

    def __init__(self, loader: yaml.SafeLoader, path: str) -> None:
        self._loader, self._path, self._count = loader, path, 0
        self.lines: dict[Place, int] = {}
        self.texts: dict[Place, str] = {}

    def build(self, node: yaml.Node | None, place: Place) -> Any:
        if node is None:
            return None
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > MAX_NODES or len(place) > 40:
            raise _Wrong(line, dotted(place), "is too large or too deep", "aliases multiply what they stand for")
        self.lines.setdefault(place, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        try:
            value = self._loader.construct_object(node)
        except (ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError):
            # 2026-02-30, 0x_, !!timestamp x: PyYAML fails in as many ways as there are types.
            raise _Wrong(
                line, dotted(place), f"{node.value!r} is no value of its kind", "quote it to have text"
            ) from None
        if not isinstance(value, str) and isinstance(node, yaml.ScalarNode):
            self.texts[place] = str(node.value)
        return value

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Wrong(line, dotted(place), "a key must be text")
            key = str(key_node.value)
            inside = (*place, key)
            if key in found:
                raise _Wrong(line, dotted(inside), "stands twice", f"first in line {self.lines[inside]}")
            self.lines[inside] = line
            found[key] = self.build(value_node, inside)
        return found


def validate(model: type[_Model], document: Document, place: Place = ()) -> tuple[_Model | None, list[Problem]]:
    """``document`` at ``place`` as ``model``, or every problem that it has."""
    value = document.value
    for part in place:
        value = value[part]
    if not isinstance(value, dict):
        return None, [document.problem(place, "must be a mapping of keys to values", "", "value-invalid")]
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, [problem_of(document, place, dict(one), model) for one in error.errors()]


def problem_of(document: Document, place: Place, error: dict[str, Any], model: type[BaseModel]) -> Problem:
    """One error of pydantic at ``place`` of ``document``, in our words."""
    loc = tuple(part for part in error["loc"] if isinstance(part, str | int))
    message, hint, code = str(error["msg"]).removeprefix("Value error, "), "", "value-invalid"
    if error["type"] == "extra_forbidden":
        message, code = "is not known here", "unknown-field"
        hint = suggest(str(loc[-1]), _fields(model, loc[:-1]))
    elif error["type"] == "missing":
        message, code = "is missing", "field-missing"
    elif "ctx" in error and "expected" in error["ctx"]:
        message = f"must be {error['ctx']['expected']}"
    elif error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        ctx = error["ctx"]
        known = str(ctx.get("expected_tags", "")).replace("'", "")
        message = f"{ctx['tag']!r} is no type" if "tag" in ctx else "needs a type"
        hint = f"known: {known}" if known else "type: webhook, apprise or console"
    elif error["type"] == "string_pattern_mismatch":
        message = f"{error['input']!r} is not allowed: lower case letters, digits and dashes only"
    elif str(error["type"]).endswith("_parsing"):  # never of text: that may be a secret
        message = f"{error['input']!r}: {message[:1].lower()}{message[1:].partition(',')[0]}"
    elif error["type"] in ("dict_type", "model_attributes_type", "model_type"):
        message = "must be a mapping of keys to values"
    elif message.startswith("Input should be "):
        message = f"must be {message.removeprefix('Input should be ')}"
        message += f", and is {error['input']}" if isinstance(error["input"], int | float) else ""
        hint = "99.9 % is target: 0.999, or targetPercent: 99.9" if loc[-1:] == ("target",) else ""
    for kind in ("String", "List", "Dictionary"):
        message = message.replace(f"{kind} should have", "must have").replace(" after validation", "")
    said, *more = (part.strip() for part in message.split(" |"))  # what is wrong | what to do | the code
    hint = more[0] if more else hint
    code = more[1] if len(more) > 1 else code
    at: Place = ()
    for part in (*place, *loc):  # pydantic also names the kind of a union there, which the file has no line for
        at = (*at, part) if document.knows((*at, part)) else at
    key = dotted(document.original((*place, *loc)))
    return Problem(document.path, document.line(at), key, said, hint, code)


def _fields(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that are known at ``loc`` of a model, as far as plain nesting tells."""
    here: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        fields = getattr(here, "model_fields", {})
        by_alias = {(f.alias or name): f for name, f in fields.items()}
        annotation = by_alias[part].annotation if part in by_alias else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        here = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return [f.alias or name for name, f in getattr(here, "model_fields", {}).items()]


def suggest(word: str, known: Iterable[str]) -> str:
    """``did you mean target? known: ...``."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    listed = f"known: {', '.join(names)}" if names else ""
    return f"did you mean {close[0]}?" if close else listed
