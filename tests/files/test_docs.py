"""Every block of docs/slos.md is read as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from midwatch.shell import files

DOCS = Path(__file__).parents[2] / "docs" / "slos.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block(tmp_path: Path, block: str) -> None:
    (tmp_path / "block.yaml").write_text(block)
    assert [str(p) for p in files.check([tmp_path])] == []


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 5
