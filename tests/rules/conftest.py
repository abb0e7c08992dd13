"""What the tests of rules share: Sloth's examples, unpacked, and the real promtool."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest
from tests.conftest import missing
from tests.specs.conftest import ARCHIVE


@pytest.fixture(scope="session")
def sloth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Sloth's examples; what it makes of them is in ``_gen``."""
    if not ARCHIVE.is_file():
        pytest.skip(f"{ARCHIVE} is not there: lay the shared folder beside the project, or name it in MIDWATCH_SHARED")
    folder = tmp_path_factory.mktemp("sloth")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    (found,) = (path for path in folder.rglob("_gen") if path.parent.name == "examples")
    return found.parent


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Runs promtool with these words and gives its output; fails when it does."""
    if which("promtool") is None:
        missing("promtool is needed: apt-get install prometheus")

    def run(*words: str | Path, ok: bool = True) -> str:
        made = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
        said = made.stdout + made.stderr
        assert (made.returncode == 0) is ok, said
        return said

    return run
