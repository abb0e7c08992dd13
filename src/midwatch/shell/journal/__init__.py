"""The journal: the one list of events that everything else is a projection of.

``sqlite.SqliteJournal`` keeps it on disk, ``postgres.PostgresJournal`` in a database that several replicas share,
``memory.MemoryJournal`` in memory (replay, simulator, tests). Readers run beside a process that writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from midwatch.model.events import Event, Recorded
from midwatch.model.state import State

SNAPSHOT_EVERY = 2000
"""Events between two snapshots: bounds the time to load state."""


@dataclass(frozen=True)
class Head:
    """The newest entry: ``seq`` (0 when the journal is empty), its chain ``hash`` (hex), ``at`` in unix seconds."""

    seq: int
    hash: str
    at: float


@dataclass(frozen=True)
class Verification:
    """What recomputing the chain found. ``broken_at`` is the first seq that does not follow; ``erased`` counts the
    entries whose text was erased on purpose (that does not break the chain, but it is said); ``missing`` those after the
    end of a copy that a remembered head says were written."""

    ok: bool
    entries: int
    head_hash: str
    broken_at: int | None = None
    why: str = ""
    erased: int = 0
    missing: int = 0


class JournalReader(Protocol):
    """What faces need."""

    def read(self, after_seq: int = 0, without: Sequence[str] = ()) -> Iterator[Recorded]:
        """Events with ``seq > after_seq`` in order, streamed, those of the kinds ``without`` left out. Raises
        JournalError."""
        ...

    def head(self) -> Head: ...

    def seq_before(self, at: float) -> int:
        """The seq of the last entry before ``at`` (unix seconds), 0 when there is none. It costs a few look-ups, however
        long the journal: its times never go back."""
        ...

    def load_state(self) -> State:
        """The newest usable snapshot and the fold of what came after it: the same as folding everything."""
        ...

    def verify(self, known: Sequence[Head] = ()) -> Verification:
        """Recompute the whole chain. ``known`` are heads remembered elsewhere (by the dead-man heartbeat's receiver):
        each must still be in it, so that a chain that was cut or rewritten whole is noticed."""
        ...

    def close(self) -> None: ...


class Journal(JournalReader, Protocol):
    """What the shell needs."""

    @property
    def epoch(self) -> int:
        """The lease's epoch: grows with every process that takes the watch."""
        ...

    def held(self, margin_seconds: float = 2.0) -> bool:
        """May this process act? True while its lease lasts at least ``margin_seconds`` more, on the monotonic clock."""
        ...

    def renew(self) -> None:
        """Extend the lease; call it every tick. Raises Deposed when another process took over."""
        ...

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        """Make ``events`` durable, all or none. ``at`` never goes back: it is clamped to the head's. Raises Deposed
        or JournalError; then nothing was written."""
        ...

    @property
    def written(self) -> Head:
        """The head as this process last wrote it: while it leads, that is the head, and nobody has to be asked."""
        ...

    def tight(self) -> str:
        """What is to be said of the room that is left to write in; "" while there is enough."""
        ...

    @property
    def snapshot_due(self) -> bool:
        """SNAPSHOT_EVERY events have passed since the last snapshot."""
        ...

    def snapshot(self, state: State) -> None:
        """Keep ``state`` (the fold up to ``state.seq``) so that loading starts there."""
        ...


@dataclass(frozen=True)
class ReplicaSeen:
    """``age_seconds``: since it was last seen, on the database's clock. ``seq``: how far it has read the journal."""

    name: str
    role: str
    age_seconds: float
    seq: int
    address: str


class Replicated(Journal, Protocol):
    """A journal that several processes share: one leads, the others follow. Until ``try_take`` says so, this one follows,
    and ``append`` raises Deposed."""

    def try_take(self) -> str:
        """Take the lease when it is free: how it was found (``new``, ``released``, ``dead``, ``expired``), "" when somebody
        has it. Raises JournalError when the database does not answer."""
        ...

    def put_letter(self, letter: bytes) -> None:
        """Into the inbox, durably; the leader journals it. Raises JournalError, also when too many are waiting."""
        ...

    def letters(self) -> list[tuple[int, bytes]]:
        """The oldest in the inbox, with their ids."""
        ...

    def drop_letters(self, ids: Sequence[int]) -> None:
        """They are in the journal now."""
        ...

    def report(self, name: str, role: str, seq: int, address: str) -> list[ReplicaSeen]:
        """Say that this replica is there; all that were seen in the last day, itself included."""
        ...

    def sign_off(self, name: str) -> None:
        """A replica that stops in order is not missed."""
        ...
