"""Shared test helpers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

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


WHOLE_FLEETS = ("actuators/test_hands_on_fleet", "gym/test_fleet", "gym/test_night", "gym/test_slo_on_fleet")
"""They take the machine for themselves, so they run one after the other, and first, as they take longest."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where two processes share the tests (``make test``): a file stays with one of them, for its servers' sake."""
    files = {item: item.nodeid.partition("::")[0] for item in items}
    fleets = {item for item, file in files.items() if any(name in file for name in WHOLE_FLEETS)}
    for item, file in files.items():
        item.add_marker(pytest.mark.xdist_group("fleets" if item in fleets else file))
    items.sort(key=lambda item: item not in fleets)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL for all tests that only need one: each takes a schema of its own. Who stops it makes another."""
    pytest.importorskip("psycopg")
    from tests.ha.postgres import Server

    made = Server()
    yield made
    made.close()
