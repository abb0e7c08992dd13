"""Words to one person that wake nobody: a shift that begins, a swap that is asked for. They are sent like pages, once."""

from __future__ import annotations

from typing import Final

from midwatch.core.oncall.escalation import contacts_of
from midwatch.model.events import PageOrdered
from midwatch.model.people import Person
from midwatch.model.state import State

NOTICE: Final = "notice"
"""The topic of a notice: nobody acknowledges it."""


def notice(state: State, person: Person | None, key: str, subject: str, text: str) -> tuple[PageOrdered, ...]:
    """Over the person's first contact; nothing for whom no people file knows, or who has none."""
    contact = next(iter(contacts_of(state, person)), None) if person else None
    if person is None or contact is None:
        return ()
    ordered = PageOrdered(
        page=f"PAGE-{state.next_page}",
        incident="",
        key=f"{NOTICE}/{key}/{person.ident}",
        channel=contact.channel,
        subject=subject,
        text=text,
        severity=4,
        topics=(NOTICE,),
        person=person.ident,
        to=contact.to,
    )
    return (ordered,)
