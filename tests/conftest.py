"""Shared test helpers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from tests.ha.postgres import Server


def missing(reason: str) -> NoReturn:
    """Something that a test needs is not installed: a skip that says how to get it, a failure where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing in CI: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL for all tests that only need one: each takes a schema of its own. Who stops it makes another."""
    pytest.importorskip("psycopg")
    from tests.ha.postgres import Server

    made = Server()
    yield made
    made.close()
