"""What was mailed to those who subscribed to the page for customers, by incident: that part of the fold. Pure."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from midwatch.model.events import MailingEnded, MailingOrdered


class Mailing(Struct, frozen=True):
    """The newest mailing about an incident. ``components`` are all that any of its mailings was about, ``number`` counts
    them from 1; ``ended`` is None while it is under way."""

    ident: str
    phase: str
    components: tuple[str, ...]
    subject: str
    text: str
    ordered_at: float
    number: int = 1
    ended: MailingEnded | None = None


def mailing_ordered(known: dict[str, Mailing], event: MailingOrdered, at: float) -> dict[str, Mailing]:
    before = known.get(event.incident)
    earlier, number = (before.components, before.number + 1) if before else ((), 1)
    components = (*earlier, *(one for one in event.components if one not in earlier))
    made = Mailing(event.mailing, event.phase, components, event.subject, event.text, at, number)
    return {**known, event.incident: made}


def mailing_ended(known: dict[str, Mailing], event: MailingEnded) -> dict[str, Mailing]:
    """The end of one that a newer one has followed changes nothing."""
    return {k: replace(one, ended=event) if one.ident == event.mailing else one for k, one in known.items()}
