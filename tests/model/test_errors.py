"""House rule: ``errors.py`` opens with its tree, and the tree is complete."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import midwatch
from midwatch.model import errors

PACKAGE = Path(midwatch.__file__).parent
LINE = re.compile(r"^(?P<lead>[ |]*)(\+-- )?(?P<name>[A-Z]\w+)")


def drawn() -> dict[str, str]:
    """Class -> the class above it, as the docstring draws them."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines()[2:]:
        match = LINE.match(line)
        if match is None:
            continue
        depth, name = match.start("name"), match["name"]
        while above and above[-1][0] >= depth:
            above.pop()
        found[name] = above[-1][1] if above else "Exception"
        above.append((depth, name))
    return found


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    classes = {
        name: kind.__bases__[0].__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert drawn() == classes


def test_every_error_of_ours_lives_there_and_is_raised_somewhere() -> None:
    ours = set(drawn())
    elsewhere: list[str] = []
    used: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        if file == Path(errors.__file__):
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and ours & {b.id for b in node.bases if isinstance(b, ast.Name)}:
                elsewhere.append(f"{file.relative_to(PACKAGE)}:{node.lineno} {node.name}")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                used.add(node.func.id)
    assert not elsewhere, "an error of ours that errors.py does not show"
    assert ours - used <= {"MidwatchError"}, "an error that nothing raises"


def test_every_error_carries_a_hint() -> None:
    for name in drawn():
        assert getattr(errors, name)("why", hint="what to do").hint == "what to do"
