"""The journal in one SQLite file: write-ahead log, full sync, one transaction per append, one writer by lease."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, create_engine, delete, event, func, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from midwatch.model.errors import Deposed, JournalError
from midwatch.model.events import Event, Recorded
from midwatch.model.state import State
from midwatch.shell.journal import SNAPSHOT_EVERY, Head, codec
from midwatch.shell.journal.ballast import DEFAULT_BYTES, Ballast
from midwatch.shell.journal.chain import NO_TEXT, link, new_salt, texts_digest
from midwatch.shell.journal.reader import SqliteReader, head_of, open_readonly, translated
from midwatch.shell.journal.tables import FORMAT, TRIGGERS, chain, lease, metadata, snapshots, texts
from midwatch.shell.leader import LEASE_SECONDS, Holder, Lease, LeaseRow, in_the_way

__all__ = ["SqliteJournal", "open_readonly"]

KEEP_SNAPSHOTS = 2
_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_T = TypeVar("_T")


class SqliteJournal(SqliteReader):
    """Opens ``path`` for writing (makes it when it is not there) and takes the lease. Raises JournalError when another
    process has it, when the folder cannot be written, or when the file is no journal.

    Thread-safe. ``ballast_bytes`` is what is kept free for a full disk (0: nothing).
    """

    def __init__(
        self,
        path: Path | str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        ballast_bytes: int = DEFAULT_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        file = Path(path)
        self._monotonic, self._wall = monotonic, wall
        self._lock = threading.RLock()
        self._writer = create_engine("sqlite://", creator=lambda: _connect(file), poolclass=StaticPool)
        # Each write is one explicit transaction that takes the write lock first: what it reads cannot change under it.
        event.listen(self._writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        with translated(file, "open"):
            _make(file)
            with self._writer.begin() as connection:
                _create_tables(connection)
        super().__init__(file)
        self.ballast = Ballast(file.with_name(file.name + ".ballast"), ballast_bytes)
        self.lease = Lease(self, lease_seconds, monotonic)
        try:
            self.lease.take()
        except JournalError:
            self.close()
            raise
        self.ballast.take()
        with self._reading() as connection:
            self._last_snapshot = connection.execute(select(func.max(snapshots.c.seq))).scalar() or 0
            self._head = head_of(connection)

    @property
    def epoch(self) -> int:
        return self.lease.epoch

    def held(self, margin_seconds: float = 2.0) -> bool:
        return self.lease.held(margin_seconds)

    def renew(self) -> None:
        if self.lease.renewal_due:
            self.lease.renew()
            self.ballast.take()

    @property
    def snapshot_due(self) -> bool:
        return self._head.seq - self._last_snapshot >= SNAPSHOT_EVERY

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        if not events:
            return []
        encoded = [codec.encode(one) for one in events]

        def write(connection: Connection) -> tuple[list[Recorded], Head]:
            self._check_epoch(connection)
            head = head_of(connection)
            when = max(at, head.at)
            before, seq = bytes.fromhex(head.hash), head.seq
            entries, bodies, recorded = [], [], []
            for one, source in zip(encoded, events, strict=True):
                seq += 1
                digest = NO_TEXT
                if one.texts:
                    salt = new_salt()
                    digest = texts_digest(salt, one.texts)
                    bodies.append({"seq": seq, "salt": salt, "texts": one.texts})
                before = link(before, seq, when, self.epoch, one.kind, one.version, one.facts, digest)
                entries.append(
                    {
                        "seq": seq, "at": when, "epoch": self.epoch, "kind": one.kind, "version": one.version,
                        "facts": one.facts, "texts_digest": digest, "hash": before,
                    }
                )  # fmt: skip
                recorded.append(Recorded(seq, when, source))
            connection.execute(insert(chain), entries)
            if bodies:
                connection.execute(insert(texts), bodies)
            return recorded, Head(seq, before.hex(), when)

        recorded, self._head = self._write("append to", write)
        return recorded

    def snapshot(self, state: State) -> None:
        """Keep ``state``, the fold up to ``state.seq``. Raises JournalError when that seq is not in the journal."""
        blob = codec.encode_state(state)

        def write(connection: Connection) -> None:
            self._check_epoch(connection)
            link_hash = connection.execute(select(chain.c.hash).where(chain.c.seq == state.seq)).scalar()
            if link_hash is None:
                raise JournalError(f"cannot keep a snapshot at {state.seq}: the journal does not reach it")
            connection.execute(delete(snapshots).where(snapshots.c.seq >= state.seq))
            connection.execute(
                insert(snapshots),
                {
                    "seq": state.seq, "chain_hash": link_hash, "fingerprint": codec.fold_fingerprint(),
                    "digest": sha256(blob).digest(), "state": blob,
                },
            )  # fmt: skip
            newest = select(snapshots.c.seq).order_by(snapshots.c.seq.desc()).limit(KEEP_SNAPSHOTS)
            connection.execute(delete(snapshots).where(snapshots.c.seq.not_in(newest)))

        if state.seq > 0:
            self._write("keep a snapshot in", write)
            self._last_snapshot = state.seq

    def erase_body(self, seq: int) -> bool:
        """Erase an entry's free text for good, snapshots that may repeat it included. The caller journals that it was
        done, by whom and why."""

        def write(connection: Connection) -> bool:
            self._check_epoch(connection)
            done = connection.execute(
                update(texts).where(texts.c.seq == seq, texts.c.texts.is_not(None)).values(salt=None, texts=None)
            )
            if done.rowcount:
                connection.execute(delete(snapshots).where(snapshots.c.seq >= seq))
            return bool(done.rowcount)

        erased = self._write("erase a text in", write)
        if erased:
            # secure_delete zeroes the page; the checkpoint takes the old bytes out of the write-ahead log as well.
            with self._lock, translated(self.path, "checkpoint"), self._writer.connect() as connection:
                connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
            self.snapshot(self.load_state())
        return erased

    def close(self) -> None:
        with self._lock:
            try:
                if hasattr(self, "lease"):
                    self.lease.release()
            except JournalError:
                pass  # it runs out by itself
            super().close()
            self._writer.dispose()

    # -- one transaction, and what happens when there is no room for it --

    def _write(self, doing: str, body: Callable[[Connection], _T]) -> _T:
        with self._lock, translated(self.path, doing):
            try:
                return self._once(body)
            except DBAPIError as error:
                code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
                if code not in _NO_ROOM or not self.ballast.free():
                    raise
                return self._once(body)
            except Deposed:
                self.lease.lost()
                raise

    def _once(self, body: Callable[[Connection], _T]) -> _T:
        with self._writer.begin() as connection:
            return body(connection)

    # -- the lease row --

    def _check_epoch(self, connection: Connection) -> None:
        row = _lease_row(connection)
        if row is None or row.epoch != self.epoch or row.holder is None:
            raise Deposed(
                f"this process (epoch {self.epoch}) no longer has the watch",
                hint="another midwatch took over; this one must stop",
            )

    def take_lease(self, me: Holder, seconds: float) -> int:
        def write(connection: Connection) -> int:
            row = _lease_row(connection)
            wall, monotonic = self._wall(), self._monotonic()
            if blocker := in_the_way(row, me, wall, monotonic):
                raise JournalError(
                    f"another midwatch has the watch in {self.path.parent}: {blocker}",
                    hint="stop that one first, or start this one on another folder",
                )
            epoch = (row.epoch if row else 0) + 1
            connection.execute(delete(lease))
            values = {"id": 1, "epoch": epoch, "holder": json.dumps(asdict(me))}
            expires = {"expires_at": wall + seconds, "expires_monotonic": monotonic + seconds}
            connection.execute(insert(lease), values | expires)
            return epoch

        return self._write("take the lease of", write)

    def renew_lease(self, epoch: int, seconds: float) -> None:
        def write(connection: Connection) -> None:
            self._check_epoch(connection)
            expires = {"expires_at": self._wall() + seconds, "expires_monotonic": self._monotonic() + seconds}
            connection.execute(update(lease).values(**expires))

        self._write("renew the lease of", write)

    def release_lease(self, epoch: int) -> None:
        self._write(
            "release the lease of",
            lambda connection: connection.execute(update(lease).where(lease.c.epoch == epoch).values(holder="")),
        )


def _lease_row(connection: Connection) -> LeaseRow | None:
    row = connection.execute(select(lease)).one_or_none()
    if row is None:
        return None
    holder = Holder(**json.loads(row.holder)) if row.holder else None
    return LeaseRow(row.epoch, holder, row.expires_at, row.expires_monotonic)


def _make(file: Path) -> None:
    """The journal names people and quotes logs: only its owner may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=5.0, isolation_level=None, check_same_thread=False)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "journal_size_limit=67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _create_tables(connection: Connection) -> None:
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found == 0:
        if connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
            raise JournalError("the file is a database, but not a journal", hint="choose another path")
        metadata.create_all(connection)
        for trigger in TRIGGERS:
            connection.exec_driver_sql(trigger)
        connection.exec_driver_sql(f"PRAGMA user_version={FORMAT}")
