"""What the documents say exists: every command, every file, every link."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from midwatch.core.loop import STAGES
from midwatch.faces.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILES = [
    f"/{path.relative_to(ROOT).as_posix()}"
    for top in ("src", "tests", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
]
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}


def commands() -> set[str]:
    group = get_command(app)
    found = set(group.commands)  # type: ignore[attr-defined]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        found |= {f"{name} {sub}" for sub in getattr(command, "commands", {})}
    return found


@pytest.mark.parametrize("page", TEXT)
def test_every_command_is_one(page: str) -> None:
    known = commands()
    for line in re.findall(r"^\s*(?:\$ )?midwatch ([a-z][^\n#|]*)", TEXT[page], re.MULTILINE):
        words = line.split()
        name = f"{words[0]} {words[1]}" if words[0] in ("gym", "journal", "slo") and len(words) > 1 else words[0]
        assert name in known, f"{page}: there is no command midwatch {name}"


@pytest.mark.parametrize("page", TEXT)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[page]):
        if not target.startswith(("http://", "https://")):
            name, _, part = target.partition("#")
            there = (ROOT / page).parent / name if name else ROOT / page
            assert there.exists(), f"{page}: {target} is not there"
            assert not part or part in anchors(there.read_text()), f"{page}: {name} has no part {part}"


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in re.findall(r"(?m)^#+ (.+)$", text)}


@pytest.mark.parametrize("page", TEXT)
def test_every_module_named_is_there(page: str) -> None:
    for path in re.findall(
        r"`(?:src/midwatch/)?((?:core|shell|model|adapters|faces|gym|playbooks)/[\w/]+(?:\.py)?)`", TEXT[page]
    ):
        where = ROOT / "src/midwatch" / path
        assert where.exists() or where.with_suffix(".py").exists(), f"{page}: {path} is not there"


@pytest.mark.parametrize("page", TEXT)
def test_every_python_file_named_is_there(page: str) -> None:
    """By its path or by its bare name: pages tell of files beside each other."""
    for name in re.findall(r"`([\w/]+\.py)`", TEXT[page]):
        assert any(path.endswith(f"/{name}") for path in FILES), f"{page}: there is no {name}"


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[str] = set()
    todo = ["README.md", "docs/architecture.md"]
    while todo:
        page = todo.pop()
        if page in seen or page not in TEXT:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", TEXT[page]):
            there = ((ROOT / page).parent / target).resolve()
            there = there / "README.md" if there.is_dir() else there
            if there.is_relative_to(ROOT):
                todo.append(there.relative_to(ROOT).as_posix())
    assert not set(TEXT) - seen


def test_the_readme_is_short_and_its_make_targets_are_real() -> None:
    assert TEXT["README.md"].count("\n") <= 150
    for target in set(re.findall(r"^\s+make ([a-z]+)", TEXT["README.md"], re.MULTILINE)):
        dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert dry.returncode == 0, dry.stderr


def test_the_architecture_page_names_every_stage_of_the_loop() -> None:
    words = TEXT["docs/architecture.md"].lower()
    for stage in STAGES:
        home = stage.__module__.removeprefix("midwatch.core.").split(".")[0]
        assert home in words
