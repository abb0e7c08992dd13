"""One writer at a time.

A lease row in the journal names the process that has the watch, and its epoch. Every append checks the epoch inside its
transaction, so a deposed process cannot write. An epoch fences the journal, not the world: right before each effect ask
``Lease.held(margin)``, which is judged on the monotonic clock, and keep every effect's timeout shorter than the lease.

On one machine a process that is provably gone (its pid is free, or taken by a younger process) loses its lease at once,
so a restart after a crash does not wait. When that cannot be told (another machine, another pid namespace) the lease must
run out first.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from midwatch.model.errors import Deposed

LEASE_SECONDS = 15.0


@dataclass(frozen=True)
class Holder:
    """A process, so that it cannot be taken for another one: ``started`` (clock ticks since boot) tells reused pids apart,
    ``boot`` and ``namespace`` say whether pids and monotonic clocks can be compared at all."""

    host: str
    pid: int
    started: int = 0
    boot: str = ""
    namespace: str = ""

    @staticmethod
    def me() -> Holder:
        pid = os.getpid()
        return Holder(socket.gethostname(), pid, _started(pid), _boot(), _namespace())

    def comparable(self, other: Holder) -> bool:
        """Same machine, same boot, same pid namespace."""
        return (self.host, self.boot, self.namespace) == (other.host, other.boot, other.namespace)

    def alive(self) -> bool:
        """Does this process still run? Only meaningful when ``comparable`` with the one who asks."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return self.started in (0, _started(self.pid)) and _state(self.pid) != "Z"


@dataclass(frozen=True)
class LeaseRow:
    """The lease as stored. ``expires_at`` is in unix seconds, ``expires_monotonic`` on the machine's monotonic clock."""

    epoch: int
    holder: Holder | None
    expires_at: float
    expires_monotonic: float


def in_the_way(row: LeaseRow | None, me: Holder, wall: float, monotonic: float) -> str:
    """Why ``me`` may not take the lease now; "" when it may. The same process may take it again (it then deposes its own
    older handle)."""
    if row is None or row.holder is None:
        return ""
    other = row.holder
    if other == me:
        return ""
    if other.comparable(me):
        if not other.alive():
            return ""
        left = row.expires_monotonic - monotonic if me.boot else row.expires_at - wall
    else:
        left = row.expires_at - wall
    if left <= 0:
        return ""
    return f"pid {other.pid} on {other.host} holds it (its lease lasts {left:.0f} s more unless it renews)"


class LeaseKeeper(Protocol):
    """Where the lease row lives; each call is one transaction."""

    def take_lease(self, me: Holder, seconds: float) -> int:
        """The new epoch. Raises JournalError when somebody else holds it."""
        ...

    def renew_lease(self, epoch: int, seconds: float) -> None:
        """Raises Deposed, JournalError."""
        ...

    def release_lease(self, epoch: int) -> None: ...


class Lease:
    """This process' side of the lease."""

    def __init__(
        self, keeper: LeaseKeeper, seconds: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self.epoch = 0
        self._keeper = keeper
        self._clock = clock
        self._until = float("-inf")

    def take(self, me: Holder | None = None) -> int:
        # The time is read before the transaction: what is believed here always ends before what is stored there.
        asked = self._clock()
        self.epoch = self._keeper.take_lease(me or Holder.me(), self.seconds)
        self._until = asked + self.seconds
        return self.epoch

    def renew(self) -> None:
        """Raises Deposed when another process took over; from then on ``held`` is False."""
        asked = self._clock()
        try:
            self._keeper.renew_lease(self.epoch, self.seconds)
        except Deposed:
            self._until = float("-inf")
            raise
        self._until = asked + self.seconds

    @property
    def renewal_due(self) -> bool:
        return self._clock() > self._until - self.seconds * 2 / 3

    def lost(self) -> None:
        self._until = float("-inf")

    def held(self, margin_seconds: float = 2.0) -> bool:
        """True while the lease lasts at least ``margin_seconds`` more: ask right before each effect, with the effect's
        timeout as the margin."""
        return self._clock() + margin_seconds < self._until

    def release(self) -> None:
        if self._until > float("-inf"):
            self._until = float("-inf")
            self._keeper.release_lease(self.epoch)


def _started(pid: int) -> int:
    """Start of a process in clock ticks since boot, from /proc; 0 where there is no /proc."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def _state(pid: int) -> str:
    """``Z`` is dead, and only waits for its parent to notice."""
    return (_stat(pid) or ["?"])[0]


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from the third field on; the second one may hold blanks and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""
