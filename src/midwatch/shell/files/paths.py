"""Which files a path stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from midwatch.shell.files.yaml_lines import Problem

SUFFIXES: Final = (".yaml", ".yml")
MAX_FILES: Final = 1000


def files_of(path: Path) -> tuple[list[Path], list[Problem]]:
    """The YAML files that ``path`` (a file or a folder) stands for; hidden ones are left out."""
    if path.is_dir():
        many = sorted(
            p
            for p in path.rglob("*")
            if p.suffix in SUFFIXES and p.is_file() and not any(q.startswith(".") for q in p.relative_to(path).parts)
        )
        if len(many) > MAX_FILES:
            message = f"holds more than {MAX_FILES} YAML files"
            return [], [Problem(str(path), 0, "", message, "name a smaller folder", "file-too-large")]
        return many, []
    if not path.exists():
        return [], [Problem(str(path), 0, "", "does not exist", "check the path", "file-missing")]
    return [path], []
