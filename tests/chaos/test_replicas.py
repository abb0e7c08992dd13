"""The whole chaos on two replicas and one PostgreSQL: five hundred escalations while replicas are killed, the database is
stopped, killed and away for longer than a lease, the path to it goes dark, channels fail and the clock leaps. No page is
lost, none goes to the wrong person, none about what is over, none twice but under its key, and nobody who was deposed
writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.harness import Chaos
from tests.ha.postgres import Server

SEED = int(os.environ.get("MIDWATCH_CHAOS_SEED", "3"))
ESCALATIONS = int(os.environ.get("MIDWATCH_CHAOS_ESCALATIONS", "500"))


@pytest.fixture
def database() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(900)
def test_no_page_is_lost_between_two_replicas(tmp_path: Path, database: Server) -> None:
    verdict = Chaos(tmp_path / "watch", SEED, ESCALATIONS, database).run()
    figures = verdict.figures
    assert not verdict.wrong, f"{verdict.wrong}\n{figures}"
    assert figures["escalations"] >= ESCALATIONS and figures["kills"] >= 5 and figures["clock_leaps"] >= 2
    assert set(figures["database"]) == {"restart", "crash", "outage", "cut"} and figures["leaders_in_turn"] >= 3
    assert figures["ends"]["failed"] > 50 and figures["ends"]["withdrawn"] > 20 and figures["answers"] > 50
    assert figures["sent_without_a_journal"] > 0
    assert figures["pages_lost"] == figures["wrong_person"] == figures["resolved_paged"] == 0
