"""Shared test helpers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from tests.ha.postgres import Server

# The terminal's library writes its size into the environment of processes that pytest starts (``-n 2``), and consoles that
# are made by an import would keep it.
os.environ.pop("COLUMNS", None)


def missing(reason: str) -> NoReturn:
    """Something that a test needs is not installed: a skip that says how to get it, a failure where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing in CI: {reason}")
    pytest.skip(reason)


WHOLE_FLEETS = tuple(
    f"tests/{name}.py"
    for name in ("actuators/test_hands_on_fleet", "gym/test_fleet", "gym/test_night", "gym/test_slo_on_fleet")
)
"""They take the machine for themselves, so they run one after the other, and first, as they take longest."""


class ByFile(LoadScopeScheduling):
    """Two processes share the tests (``make test``): a file stays with one of them, all fleets with one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "fleets" if file in WHOLE_FLEETS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in WHOLE_FLEETS)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL for all tests that only need one: each takes a schema of its own. Who stops it makes another."""
    pytest.importorskip("psycopg")
    from tests.ha.postgres import Server

    made = Server()
    yield made
    made.close()
