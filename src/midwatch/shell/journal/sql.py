"""Writing a journal, whatever the database: one transaction per append, which checks the writer's epoch before anything.

``sqlite.py`` and ``postgres.py`` say how a transaction is made, whose clock judges the lease, and what can go wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, delete, insert, select, update

from midwatch.model.errors import Deposed, JournalError
from midwatch.model.events import Event, Recorded, TextErased
from midwatch.model.state import State
from midwatch.shell.journal import SNAPSHOT_EVERY, Head, codec
from midwatch.shell.journal.chain import NO_TEXT, link, new_salt, texts_digest
from midwatch.shell.journal.reader import SqlReader, head_of
from midwatch.shell.journal.tables import chain, lease, snapshots, texts
from midwatch.shell.leader import Holder, Lease, LeaseRow, in_the_way

KEEP_SNAPSHOTS = 2
_T = TypeVar("_T")


class SqlWriter(SqlReader):
    """The writing half. A subclass makes ``lease`` and gives ``_write`` (one transaction; raises JournalError, and calls
    ``lease.lost`` on Deposed) and ``_times``; it sets ``_head`` and ``_last_snapshot`` once it has looked."""

    lease: Lease
    _head: Head
    _last_snapshot: int

    def _write(self, doing: str, body: Callable[[Connection], _T]) -> _T:
        raise NotImplementedError

    def _times(self, connection: Connection) -> tuple[float, float]:
        """Wall and monotonic seconds that the lease is judged by."""
        raise NotImplementedError

    @property
    def epoch(self) -> int:
        return self.lease.epoch

    def held(self, margin_seconds: float = 2.0) -> bool:
        return self.lease.held(margin_seconds)

    @property
    def snapshot_due(self) -> bool:
        return self._head.seq - self._last_snapshot >= SNAPSHOT_EVERY

    @property
    def written(self) -> Head:
        return self._head

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        if not events:
            return []
        encoded = [codec.encode(one) for one in events]

        def write(connection: Connection) -> tuple[list[Recorded], Head]:
            self._check_epoch(connection)
            return add_entries(connection, encoded, events, at, self.epoch)

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

    def erase(self, seqs: Sequence[int], by: str, why: str, at: float) -> tuple[int, ...]:
        """Erase the free text of these entries for good, with the snapshots that may repeat it, and journal in the same
        transaction that it was done; which of them had any. What was decided, when and by whom stays. Who has folded the
        journal before has the words in memory. Raises JournalError and its kind Deposed."""

        def write(connection: Connection) -> tuple[tuple[int, ...], Head]:
            self._check_epoch(connection)
            kept = select(texts.c.seq).where(texts.c.seq.in_(seqs), texts.c.texts.is_not(None)).order_by(texts.c.seq)
            found = tuple(connection.execute(kept).scalars())
            if not found:
                return (), self._head
            connection.execute(update(texts).where(texts.c.seq.in_(found)).values(salt=None, texts=None))
            connection.execute(delete(snapshots).where(snapshots.c.seq >= found[0]))
            event = TextErased(found, by, why)
            return found, add_entries(connection, [codec.encode(event)], [event], at, self.epoch)[1]

        erased, self._head = self._write("erase a text in", write)
        if erased:
            self._wipe()
        return erased

    def _wipe(self) -> None:
        """Take the erased bytes off the disk as well, as far as this database lets one."""
        raise NotImplementedError

    # -- the lease row --

    def _lease_query(self) -> Select[Any]:
        """How a writing transaction reads the lease row: so that it cannot change before the transaction ends."""
        return select(lease)

    def _check_epoch(self, connection: Connection) -> None:
        row = lease_row(connection, self._lease_query())
        if row is None or row.epoch != self.epoch or row.holder is None:
            raise Deposed(
                f"this process (epoch {self.epoch}) no longer has the watch",
                hint="another midwatch took over; this one must stop",
            )

    def take_lease(self, me: Holder, seconds: float) -> int:
        def write(connection: Connection) -> int:
            row = lease_row(connection, self._lease_query())
            wall, monotonic = self._times(connection)
            if blocker := in_the_way(row, me, wall, monotonic):
                raise JournalError(
                    f"another midwatch has the watch in {self.where}: {blocker}",
                    hint="stop that one first, or start this one on another folder",
                )
            epoch = (row.epoch if row else 0) + 1
            values = {
                "id": 1, "epoch": epoch, "holder": json.dumps(asdict(me)),
                "expires_at": wall + seconds, "expires_monotonic": monotonic + seconds,
            }  # fmt: skip
            # In place: another one that waits for this row must then see this epoch, not that there is none.
            connection.execute(insert(lease).values(values) if row is None else update(lease).values(values))
            return epoch

        return self._write("take the lease of", write)

    def renew_lease(self, epoch: int, seconds: float) -> None:
        def write(connection: Connection) -> None:
            self._check_epoch(connection)
            wall, monotonic = self._times(connection)
            connection.execute(update(lease).values(expires_at=wall + seconds, expires_monotonic=monotonic + seconds))

        self._write("renew the lease of", write)

    def release_lease(self, epoch: int) -> None:
        self._write(
            "release the lease of",
            lambda connection: connection.execute(update(lease).where(lease.c.epoch == epoch).values(holder="")),
        )


def add_entries(
    connection: Connection, encoded: Sequence[codec.Encoded], events: Sequence[Event], at: float, epoch: int
) -> tuple[list[Recorded], Head]:
    """Link ``events`` to the chain's head and insert them. ``at`` is clamped to the head's."""
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
        before = link(before, seq, when, epoch, one.kind, one.version, one.facts, digest)
        entries.append(
            {
                "seq": seq, "at": when, "epoch": epoch, "kind": one.kind, "version": one.version,
                "facts": one.facts, "texts_digest": digest, "hash": before,
            }
        )  # fmt: skip
        recorded.append(Recorded(seq, when, source))
    connection.execute(insert(chain), entries)
    if bodies:
        connection.execute(insert(texts), bodies)
    return recorded, Head(seq, before.hex(), when)


def lease_row(connection: Connection, query: Select[Any]) -> LeaseRow | None:
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    holder = Holder(**json.loads(row.holder)) if row.holder else None
    return LeaseRow(row.epoch, holder, row.expires_at, row.expires_monotonic)
