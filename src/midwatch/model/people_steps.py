"""How events change what is known of shifts, overrides and swaps: that part of the fold. Pure."""

from __future__ import annotations

from typing import Final, Literal

from msgspec.structs import replace

from midwatch.model.people import Override, Swap

MAX_OVERRIDES: Final = 500
MAX_SWAPS: Final = 200
KEPT_SECONDS: Final = 400 * 86400.0
"""What is over for longer is forgotten here (the journal has it): fairness looks back over a year."""


def overridden(known: tuple[Override, ...], override: Override, at: float) -> tuple[Override, ...]:
    kept = tuple(one for one in known if one.end_at > at - KEPT_SECONDS)
    return (*kept, override)[-MAX_OVERRIDES:]


def override_ended(known: tuple[Override, ...], ident: str, at: float) -> tuple[Override, ...]:
    """It ends now; one that has not begun is forgotten."""
    ended = (replace(o, end_at=min(o.end_at, at)) if o.ident == ident else o for o in known)
    return tuple(one for one in ended if one.start_at < one.end_at)


def asked(known: tuple[Swap, ...], swap: Swap, at: float) -> tuple[Swap, ...]:
    return (*known, replace(swap, asked_at=at))[-MAX_SWAPS:]


def answered(
    known: tuple[Swap, ...], ident: str, answer: Literal["accepted", "refused", "withdrawn"], by: str
) -> tuple[Swap, ...]:
    return tuple(replace(s, answer=answer, answered_by=by) if s.ident == ident else s for s in known)
