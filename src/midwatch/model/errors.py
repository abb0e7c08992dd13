"""Every error that midwatch raises on purpose.

MidwatchError
 +-- ConfigError        a file says something that cannot be honoured (path, line, key, hint)
 +-- JournalError       the journal cannot be read or written
 |    +-- Deposed       this process no longer holds the lease
 +-- StoreError         the telemetry store does not answer
 |    +-- BadRows       it answers that these rows cannot be stored
 +-- SourceError        a source of counts (Prometheus and its kin) does not answer, or not in a way that can be used
 +-- IngestError        a payload cannot be accepted (HTTP status, reason)
 +-- ActuatorError      an effect failed
 |    +-- InDoubt       nobody knows whether it took effect
 +-- ChannelError       a page could not be handed over (retryable or not)
 |    +-- RateLimited   its receiver asks for a pause
 |    +-- Busy          others are before it in the channel's own queue
 |    +-- RoomGone      the war room in the chat is archived, or deleted
 +-- TrackerError       an action item could not be filed, or not be looked at
 +-- UsageError         a command makes no sense as it was given
 |    +-- NotFound      there is no such incident, action or post-mortem
 |    +-- Forbidden     whoever asks may not
 +-- Unreachable        no watch runs on this folder, or it does not answer
"""

from __future__ import annotations

from collections.abc import Mapping


class MidwatchError(Exception):
    """The root. ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MidwatchError):
    """``path:line key: message``."""

    def __init__(self, message: str, *, path: str = "", line: int = 0, key: str = "", hint: str = "") -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(
            " ".join(part for part in (f"{where}:" if where else "", f"{key}:" if key else "", message) if part),
            hint=hint,
        )
        self.path, self.line, self.key = path, line, key


class JournalError(MidwatchError):
    """The journal cannot be read or written."""


class Deposed(JournalError):
    """Another process holds the lease, with a later epoch."""


class StoreError(MidwatchError):
    """The telemetry store does not answer."""


class BadRows(StoreError):
    """The rows themselves cannot be stored: trying again is pointless, and others must not suffer for them."""


class SourceError(MidwatchError):
    """A source of counts does not answer, refuses the query, or answers with what cannot be used."""


class IngestError(MidwatchError):
    """A payload that cannot be accepted. ``status`` is the HTTP status that the protocol wants; ``fields`` says what is
    wrong field by field, where the protocol has room for that."""

    def __init__(
        self, message: str, *, status: int = 400, hint: str = "", fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.fields = dict(fields or {})


class ActuatorError(MidwatchError):
    """An effect failed, and it is known that it did."""


class InDoubt(ActuatorError):
    """The request left and no answer came: it may or may not have taken effect. Never repeat it blindly."""


class ChannelError(MidwatchError):
    """A page could not be handed over. ``retry_after_seconds`` is None when trying again is pointless."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = 5.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(ChannelError):
    """The receiver said: not now, and not before ``retry_after_seconds``. It means every page on that channel."""


class Busy(ChannelError):
    """Nothing was sent: others are before this one in the channel's own queue. It is no failure of the receiver."""


class RoomGone(ChannelError):
    """Somebody archived or deleted the room, or put midwatch out of it: nothing can be said there any more."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, retry_after_seconds=None, hint=hint)


class TrackerError(MidwatchError):
    """A tracker did not do it. ``retry_after_seconds`` is None when trying again is pointless."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = 60.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class UsageError(MidwatchError):
    """A command makes no sense as it was given."""


class NotFound(UsageError):
    """There is no such incident, action or post-mortem."""


class Forbidden(UsageError):
    """Whoever asks is known, and may not."""


class Unreachable(MidwatchError):
    """No watch runs on this folder, or it does not answer."""
