"""Reading a journal: streaming, beside a process that writes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.engine import Row

from midwatch.model.errors import JournalError
from midwatch.model.events import Recorded
from midwatch.model.fold import fold
from midwatch.model.state import State
from midwatch.shell.journal import Head, Verification, codec
from midwatch.shell.journal.chain import GENESIS, link, texts_digest
from midwatch.shell.journal.tables import chain, snapshots, texts

PAGE_ROWS = 500  # rows per read transaction: a long one would keep the write-ahead log from being reused
_ENTRY = select(chain, texts.c.seq.label("texts_seq"), texts.c.salt, texts.c.texts).select_from(
    chain.outerjoin(texts, chain.c.seq == texts.c.seq)
)


class SqlReader:
    """What reading takes, whatever the database. A subclass says how a read transaction is made (``_reading``, which raises
    JournalError and nothing else) and what the journal is called in messages (``where``)."""

    where: str

    def _reading(self) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def read(self, after_seq: int = 0, without: Sequence[str] = ()) -> Iterator[Recorded]:
        """Events with ``seq > after_seq`` in order, a page at a time: memory stays bounded however long the journal."""
        for row in self.rows(after_seq, without):
            yield _recorded(row)

    def rows(self, after_seq: int, without: Sequence[str] = ()) -> Iterator[Row[Any]]:
        """Entries as they are stored."""
        wanted = _ENTRY.where(chain.c.kind.not_in(without)) if without else _ENTRY
        while True:
            with self._reading() as connection:
                page = connection.execute(
                    wanted.where(chain.c.seq > after_seq).order_by(chain.c.seq).limit(PAGE_ROWS)
                ).all()
            yield from page
            if len(page) < PAGE_ROWS:
                return
            after_seq = page[-1].seq

    def verify_at(self, known: Head) -> bool:
        """Whether this one entry is the one that is known."""
        with self._reading() as connection:
            return connection.execute(select(chain.c.hash).where(chain.c.seq == known.seq)).scalar() == bytes.fromhex(
                known.hash
            )

    def erased(self) -> set[int]:
        """The entries whose text was erased."""
        with self._reading() as connection:
            return set(connection.execute(select(texts.c.seq).where(texts.c.texts.is_(None))).scalars())

    def head(self) -> Head:
        with self._reading() as connection:
            return head_of(connection)

    def seq_before(self, at: float) -> int:
        with self._reading() as connection:
            low, high = 0, head_of(connection).seq
            while low < high:
                middle = (low + high + 1) // 2
                earlier = connection.execute(select(chain.c.at).where(chain.c.seq == middle)).scalar_one() < at
                low, high = (middle, high) if earlier else (low, middle - 1)
        return low

    def load_state(self) -> State:
        state = self._from_snapshot() or State()
        for recorded in self.read(state.seq):
            state = fold(state, recorded)
        return state

    def _from_snapshot(self) -> State | None:
        """The newest snapshot that this code's fold made and that the chain still agrees with; None when there is
        none. A snapshot is only a cache: anything odd about it means folding from further back."""
        with self._reading() as connection:
            rows = connection.execute(
                select(snapshots)
                .join(chain, (chain.c.seq == snapshots.c.seq) & (chain.c.hash == snapshots.c.chain_hash))
                .where(snapshots.c.fingerprint == codec.fold_fingerprint())
                .order_by(snapshots.c.seq.desc())
            ).all()
        for row in rows:
            if sha256(row.state).digest() == row.digest:
                try:
                    return codec.decode_state(row.state)
                except msgspec.MsgspecError:
                    continue
        return None

    def verify(self, known: Sequence[Head] = ()) -> Verification:
        before, entries, erased = GENESIS, 0, 0
        remembered = {head.seq: head.hash for head in known if head.seq > 0}
        for row in self.rows(0):
            why = problem(row, before, entries + 1)
            if not why and remembered.get(row.seq, row.hash.hex()) != row.hash.hex():
                why = "its hash is not the one that was remembered elsewhere: the journal was rewritten"
            if why:
                return Verification(False, entries, before.hex(), entries + 1, why, erased)
            before, entries = row.hash, entries + 1
            erased += bool(row.texts_digest) and row.texts is None
        if remembered and max(remembered) > entries:
            why = f"the journal ends at {entries}, but entry {max(remembered)} was remembered elsewhere: it was cut"
            return Verification(False, entries, before.hex(), entries + 1, why, erased)
        return Verification(True, entries, before.hex(), None, "", erased)


def head_of(connection: Connection) -> Head:
    row = connection.execute(
        select(chain.c.seq, chain.c.hash, chain.c.at).order_by(chain.c.seq.desc()).limit(1)
    ).one_or_none()
    return Head(0, GENESIS.hex(), 0.0) if row is None else Head(row.seq, row.hash.hex(), row.at)


def _recorded(row: Row[Any]) -> Recorded:
    stored = b"" if not row.texts_digest else row.texts
    try:
        return Recorded(row.seq, row.at, codec.decode(row.kind, row.version, row.facts, stored))
    except JournalError as error:
        raise JournalError(f"entry {row.seq}: {error}", hint=error.hint) from error


def problem(row: Any, before: bytes, expected_seq: int) -> str:
    """Why an entry (a row of ``SqlReader.rows``, or whatever has its fields) does not follow from the hash ``before``; ""
    when it does."""
    if row.seq != expected_seq:
        return f"entry {expected_seq} is missing"
    try:
        follows = link(
            before, row.seq, row.at, row.epoch, row.kind, row.version, row.facts, row.texts_digest
        )  # fmt: skip
    except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        return f"its fields are not what was written ({error})"
    if follows != row.hash:
        return "its content or the link to the entry before it was altered"
    if row.texts_digest:
        if row.texts_seq is None:
            return "its text is gone without having been erased"
        if (row.texts is None) != (row.salt is None):
            return "its text is half erased"
        if row.texts is not None and texts_digest(row.salt, row.texts) != row.texts_digest:
            return "its text was altered"
    return ""
