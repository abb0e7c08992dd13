"""Hands on PostgreSQL: end a blocking session, build a missing index.

A session is ended only when it is, at that moment and in the same statement, the one that others wait for: a pid may
have been taken over by somebody else since it was read from telemetry (``pg_blocking_pids``, ``pg_stat_activity``,
PostgreSQL manual 9.27 and 28.2). Indexes come only from a catalogue of known definitions: nothing here runs SQL
that came with an action.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from midwatch.adapters.actuators.common import Done, check
from midwatch.adapters.actuators.postgres.manifest import VERBS
from midwatch.model.actions import Action, Outcome, VerbSpec
from midwatch.model.entity import name_of
from midwatch.model.errors import ActuatorError, InDoubt

# Roots of the wait graph: sessions that block somebody and wait for nobody, those with most waiters first.
_BLOCKERS: Final = """
WITH waits AS (
  SELECT waiter.pid AS waiter, unnest(pg_blocking_pids(waiter.pid)) AS blocker
  FROM pg_stat_activity waiter
  WHERE waiter.wait_event_type = 'Lock' AND waiter.datname = current_database()
)
SELECT a.pid, a.backend_start, count(*) AS waiting
FROM waits w JOIN pg_stat_activity a ON a.pid = w.blocker
WHERE a.backend_type = 'client backend' AND a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND NOT EXISTS (SELECT 1 FROM waits x WHERE x.waiter = a.pid)
GROUP BY a.pid, a.backend_start
ORDER BY waiting DESC, a.backend_start
"""
_TERMINATE: Final = """
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
WHERE pid = %s AND backend_start = %s AND backend_type = 'client backend' AND datname = current_database()
"""
# Not those of constraints: a primary key is more than its index.
_KNOWN: Final = """
SELECT c.relname, pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND i.indisvalid
  AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
ORDER BY c.relname LIMIT 2000
"""
_VALID: Final = """
SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relname = %s AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_%%')
"""
_DEFINITION: Final = re.compile(
    r"^\s*CREATE\s+(UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(\S+)\s+(ON\s+[^;]+?);?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_NAME: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_$]{0,62}$")


class PostgresActuator:
    """``dsn`` as libpq reads it; ``database`` the entity's names (comma-separated: telemetry may call it by its server).

    ``indexes`` is the catalogue: name -> CREATE INDEX statement. ``remember_indexes`` adds what the database has now, so
    that an index which disappears later can be built again.
    """

    def __init__(self, dsn: str, *, database: str = "", indexes: Mapping[str, str] | None = None) -> None:
        self._dsn = dsn
        self._names = frozenset(database.replace(",", " ").split())
        self._done = Done()
        self._indexes: dict[str, str] = {}
        for name, definition in (indexes or {}).items():
            self._indexes[name] = concurrently(name, definition)

    @property
    def verbs(self) -> Mapping[str, VerbSpec]:
        return VERBS

    @property
    def indexes(self) -> Mapping[str, str]:
        """The catalogue: name -> statement that builds it."""
        return self._indexes

    async def remember_indexes(self) -> int:
        """Add the indexes that exist now to the catalogue; how many it holds then. Call it while all is well. Raises
        ActuatorError when the database does not answer."""
        errors = _psycopg()
        try:
            async with asyncio.timeout(5), self._connection(5) as connection:
                rows = await (await connection.execute(_KNOWN)).fetchall()
        except (TimeoutError, errors.Error, OSError) as error:
            raise ActuatorError(f"the database's indexes cannot be read: {type(error).__name__}") from error
        for name, definition in rows:
            if _NAME.match(name) and name not in self._indexes:
                self._indexes[name] = concurrently(name, definition)
        return len(self._indexes)

    async def apply(self, action: Action) -> Outcome:
        spec = check(VERBS, action)
        self._check_target(action)
        if known := self._done.get(action.key):
            return known
        errors = _psycopg()
        try:
            async with asyncio.timeout(spec.timeout_seconds), self._connection(spec.timeout_seconds) as connection:
                outcome = await self._carry_out(connection, action)
        except (TimeoutError, errors.Error, OSError) as error:
            raise InDoubt(f"{action.verb}: {type(error).__name__}: {str(error)[:200]}") from error
        return self._done.put(action.key, outcome)

    async def _carry_out(self, connection: Any, action: Action) -> Outcome:
        if action.verb == "kill_session":
            return await self._kill(connection, action)
        return await self._rebuild(connection, action)

    async def _kill(self, connection: Any, action: Action) -> Outcome:
        blockers = await (await connection.execute(_BLOCKERS)).fetchall()
        wanted = action.parameters.get("pid")
        for pid, started, waiting in blockers:
            if wanted in (None, pid):
                row = await (await connection.execute(_TERMINATE, (pid, started))).fetchone()
                if row is None:
                    raise ActuatorError(f"session {pid} is gone")
                if not row[0]:
                    raise InDoubt(f"session {pid} was told to end and has not within 2 s")
                return Outcome("done", f"session {pid} ended; {waiting} waited for it")
        if wanted is None:
            raise ActuatorError("no session blocks another")
        raise ActuatorError(f"session {wanted} blocks nobody (any more)")

    async def _rebuild(self, connection: Any, action: Action) -> Outcome:
        wanted = action.parameters.get("index")
        if wanted and wanted not in self._indexes:
            raise ActuatorError(f"no definition is known for index {wanted}")
        built = []
        for name in [str(wanted)] if wanted else list(self._indexes):
            row = await (await connection.execute(_VALID, (name,))).fetchone()
            if row and row[0]:
                continue
            if row:  # a concurrent build that broke off leaves an invalid index in the way
                await connection.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
            await connection.execute(self._indexes[name])
            built.append(name)
        if not built:
            return Outcome("done", "no known index is missing")
        return Outcome("done", f"built {', '.join(built[:5])}")

    async def observe(self, action: Action) -> Outcome:
        check(VERBS, action)
        self._check_target(action)
        if known := self._done.get(action.key):
            return known
        errors = _psycopg()
        try:
            async with asyncio.timeout(5), self._connection(5) as connection:
                return await self._look(connection, action)
        except (TimeoutError, errors.Error, OSError, ActuatorError) as error:
            return Outcome("in_doubt", f"the database does not answer: {type(error).__name__}")

    async def _look(self, connection: Any, action: Action) -> Outcome:
        if action.verb == "kill_session":
            blockers = [row[0] for row in await (await connection.execute(_BLOCKERS)).fetchall()]
            wanted = action.parameters.get("pid")
            still = wanted in blockers if wanted is not None else bool(blockers)
            return (
                Outcome("failed", f"still blocking: {blockers[:5]}") if still else Outcome("done", "nobody is blocked")
            )
        wanted = action.parameters.get("index")
        for name in [str(wanted)] if wanted else list(self._indexes):
            row = await (await connection.execute(_VALID, (name,))).fetchone()
            if not (row and row[0]):
                return Outcome("failed", f"index {name} is missing or invalid")
        return Outcome("done", "no known index is missing")

    def _check_target(self, action: Action) -> None:
        if self._names and name_of(action.target) not in self._names:
            raise ActuatorError(f"no such database here: {action.target}")

    @asynccontextmanager
    async def _connection(self, seconds: float) -> AsyncIterator[Any]:
        psycopg = _psycopg()
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=3,
                application_name="midwatch",
                options=f"-c statement_timeout={int(seconds * 1000)} -c lock_timeout=5000",
            )
        except psycopg.OperationalError as error:
            # The message may quote the connection string: only its kind is passed on.
            raise ActuatorError(f"the database does not accept a connection ({type(error).__name__})") from None
        try:
            yield connection
        finally:
            await connection.close()


def concurrently(name: str, definition: str) -> str:
    """``definition`` as a statement that blocks no writer and may be repeated; raises ActuatorError when it is not
    one plain CREATE INDEX of that name."""
    match = _DEFINITION.match(definition)
    if match is None or not _NAME.match(name) or match[2].strip('"').split(".")[-1] != name:
        raise ActuatorError(f"not a definition of index {name}: {definition[:80]}")
    return f'CREATE {match[1] or ""}INDEX CONCURRENTLY IF NOT EXISTS "{name}" {match[3]}'


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise ActuatorError(
            "the PostgreSQL actuator needs the package psycopg",
            hint="pip install 'psycopg[binary]>=3.2' (or midwatch[gym])",
        ) from error
    return psycopg
