"""The journal without a disk: replay, the simulator and tests. The same chain, computed only when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from midwatch.model.errors import JournalError
from midwatch.model.events import Event, Recorded
from midwatch.model.fold import fold_all
from midwatch.model.state import State
from midwatch.shell.journal import SNAPSHOT_EVERY, Head, Verification, codec
from midwatch.shell.journal.chain import GENESIS, NO_TEXT, link, new_salt, texts_digest


@dataclass
class MemoryJournal:
    """Keeps every event in a list. ``epoch`` stands for the lease, which nobody else can want."""

    epoch: int = 1
    _entries: list[Recorded] = field(default_factory=list)
    _hashes: list[bytes] = field(default_factory=list)
    _snapshot: State = field(default_factory=State)
    _closed: bool = False

    def held(self, margin_seconds: float = 2.0) -> bool:
        return not self._closed

    def renew(self) -> None:
        return None

    def tight(self) -> str:
        return ""

    def append(self, events: Sequence[Event], at: float) -> list[Recorded]:
        if self._closed:
            raise JournalError("the journal is closed")
        when = max(at, self._entries[-1].at if self._entries else 0.0)
        recorded = [Recorded(len(self._entries) + i, when, event) for i, event in enumerate(events, 1)]
        self._entries.extend(recorded)
        return recorded

    def read(self, after_seq: int = 0, without: Sequence[str] = ()) -> Iterator[Recorded]:
        for index in range(max(after_seq, 0), len(self._entries)):
            if not without or codec.kind_of(self._entries[index].event) not in without:
                yield self._entries[index]

    def seq_before(self, at: float) -> int:
        return bisect_left(self._entries, at, key=lambda one: one.at)

    def head(self) -> Head:
        return self.written

    @property
    def written(self) -> Head:
        if not self._entries:
            return Head(0, GENESIS.hex(), 0.0)
        self._chain()
        return Head(len(self._entries), self._hashes[-1].hex(), self._entries[-1].at)

    def _chain(self) -> None:
        for one in self._entries[len(self._hashes) :]:
            encoded = codec.encode(one.event)
            digest = texts_digest(new_salt(), encoded.texts) if encoded.texts else NO_TEXT
            before = self._hashes[-1] if self._hashes else GENESIS
            self._hashes.append(
                link(before, one.seq, one.at, self.epoch, encoded.kind, encoded.version, encoded.facts, digest)
            )

    @property
    def snapshot_due(self) -> bool:
        return len(self._entries) - self._snapshot.seq >= SNAPSHOT_EVERY

    def snapshot(self, state: State) -> None:
        self._snapshot = state

    def load_state(self) -> State:
        return fold_all(self.read(self._snapshot.seq), self._snapshot)

    def verify(self, known: Sequence[Head] = ()) -> Verification:
        """Always holds: nobody else can reach this memory. ``known`` is compared all the same."""
        head = self.head()
        for one in known:
            if one.seq and (one.seq > head.seq or self._hashes[one.seq - 1].hex() != one.hash):
                return Verification(False, head.seq, head.hash, one.seq, "not the journal that was remembered")
        return Verification(True, head.seq, head.hash, None)

    def close(self) -> None:
        self._closed = True
