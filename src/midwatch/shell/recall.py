"""What the journal says of one incident from before this process: only the entries of its time are read, so that neither a
start nor a page waits for a whole year to be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from midwatch.model.events import Recorded
from midwatch.model.findings import Incident

LEAD_SECONDS = 900.0  # changes so long before the onset belong to its story
AFTER_SECONDS = 7 * 86400.0  # what is said of it later than this after its end (an undo, a note) is not looked for
MAX_RECALLED = 50_000


class Seekable(Protocol):
    def read(self, after_seq: int = 0) -> Iterator[Recorded]: ...

    def seq_before(self, at: float) -> int: ...


def entries_of(journal: Seekable, incident: Incident, until_seq: int) -> list[Recorded]:
    """The entries up to ``until_seq`` in which ``incident`` may be mentioned, other things of that time among them. At most
    ``MAX_RECALLED``, the first. Raises JournalError."""
    first = journal.seq_before(min(incident.onset_at, incident.opened_at) - LEAD_SECONDS)
    last = until_seq
    if incident.resolved_at is not None:
        last = min(last, journal.seq_before(incident.resolved_at + AFTER_SECONDS))
    return list(islice(journal.read(first), max(0, min(last - first, MAX_RECALLED))))
