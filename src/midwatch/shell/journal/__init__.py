"""The journal: the one list of events that everything else is a projection of.

``sqlite.SqliteJournal`` keeps it on disk, ``memory.MemoryJournal`` in memory (replay, simulator, tests), and
``sqlite.open_readonly`` reads one that another process is writing.
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
    entries whose text was erased on purpose (that does not break the chain, but it is said)."""

    ok: bool
    entries: int
    head_hash: str
    broken_at: int | None = None
    why: str = ""
    erased: int = 0


class JournalReader(Protocol):
    """What faces need."""

    def read(self, after_seq: int = 0) -> Iterator[Recorded]:
        """Events with ``seq > after_seq`` in order, streamed. Raises JournalError."""
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
    def snapshot_due(self) -> bool:
        """SNAPSHOT_EVERY events have passed since the last snapshot."""
        ...

    def snapshot(self, state: State) -> None:
        """Keep ``state`` (the fold up to ``state.seq``) so that loading starts there."""
        ...

    def erase_body(self, seq: int) -> bool:
        """Erase the free text of one entry for good; False when it has none. What was decided, when and why stays."""
        ...
