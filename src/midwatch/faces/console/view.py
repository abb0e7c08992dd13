"""What the console needs of a running watch, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from midwatch.core.memory import Memory
from midwatch.model.events import CommandGiven, Recorded
from midwatch.model.state import State
from midwatch.model.world import World
from midwatch.shell.gate import Gate


class JournalView(Protocol):
    def read(self, after_seq: int = 0, without: Sequence[str] = ()) -> Iterator[Recorded]:
        """Entries with a higher sequence number than ``after_seq``, in order, those of the kinds ``without`` left out."""
        ...

    def seq_before(self, at: float) -> int:
        """The seq of the last entry before ``at`` (unix seconds), 0 when there is none."""
        ...


class WatchView(Protocol):
    """A running watch as the pages see it. ``shell.run.Watch`` is one; ``faces.console.fakes.FakeWatch`` is another."""

    @property
    def state(self) -> State: ...

    @property
    def world(self) -> World: ...

    @property
    def memory(self) -> Memory: ...

    @property
    def journal(self) -> JournalView: ...

    @property
    def head(self) -> Any:
        """The journal's newest entry that this process knows: ``seq``, ``hash`` and ``at``."""
        ...

    @property
    def mode(self) -> str:
        """The ceiling for every playbook: shadow, suggest, ask, canary or auto."""
        ...

    @property
    def hands_off(self) -> bool:
        """What the next effect will find: the kill switch in state or as a file."""
        ...

    @property
    def otlp_port(self) -> int:
        """Where telemetry comes in."""
        ...

    @property
    def token(self) -> str | None:
        """What people must know to get in; None on a loopback address without one."""
        ...

    @property
    def tokens(self) -> Mapping[str, str]:
        """Person -> token of their own. With any, people sign in with it, and it says who they are."""
        ...

    @property
    def gate(self) -> Gate:
        """How people get in, and who may do what."""
        ...

    def health(self) -> dict[str, Any]:
        """midwatch about itself. Any keys; ``degraded`` (sentences) is shown on every page when it is not empty."""
        ...

    def senders(self) -> list[dict[str, Any]]:
        """What each system that sends alerts sent: ``source``, ``accepted``, ``dropped`` (why -> count)."""
        ...

    async def command(self, given: CommandGiven) -> Recorded:
        """Journal what a person wants. Raises UsageError or JournalError."""
        ...
