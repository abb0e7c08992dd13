"""The archive of public specs, and a folder to write own ones in."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from midwatch.shell.files.specs import SpecSet, read_specs

ROOT = Path(__file__).parents[2]
ARCHIVE = Path(os.environ.get("MIDWATCH_SHARED") or ROOT.parent / "shared") / "data" / "slo-conformance.tar.xz"


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked archive: openslo/, sloth/, pyrra/."""
    if not ARCHIVE.exists():
        pytest.skip(f"{ARCHIVE} is not there: lay the shared folder beside the project, or name it in MIDWATCH_SHARED")
    folder = tmp_path_factory.mktemp("slo-conformance")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., SpecSet]:
    """``reading(name=text, ...)``: these files, read together."""

    def read(**texts: str) -> SpecSet:
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(text, "utf-8")
        return read_specs([tmp_path])

    return read
