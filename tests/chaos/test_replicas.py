"""The same chaos on two replicas and one PostgreSQL: whichever is killed, the other one goes on from the same journal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.chaos.harness import Chaos
from tests.ha.postgres import Server

ESCALATIONS = int(os.environ.get("MIDWATCH_CHAOS_ON_REPLICAS", "60"))


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_no_page_is_lost_between_two_replicas(tmp_path: Path) -> None:
    server = Server()
    try:
        (tmp_path / "dsn").write_text(server.dsn)
        journals = tuple(f'journal: {{postgres: "file:{tmp_path}/dsn", replica: r{n}}}' for n in range(2))
        verdict = Chaos(tmp_path / "watch", 3, ESCALATIONS, journals).run()
    finally:
        server.close()
    assert not verdict.wrong, f"{verdict.wrong}\n{verdict.figures}"
    assert verdict.figures["escalations"] >= ESCALATIONS and verdict.figures["kills"] >= 1
