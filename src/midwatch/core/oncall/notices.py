"""Words to one person that wake nobody: a shift that begins, a swap that is asked for. They are sent like pages, over the
person's contacts in their order until one takes it."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from midwatch.core.oncall.escalation import contacts_of, other_contact
from midwatch.model.events import PageOrdered
from midwatch.model.people import Person, Schedule
from midwatch.model.state import PageRecord, State

NOTICE: Final = "notice"
"""The topic of a notice: nobody acknowledges it."""
ROUNDS: Final = 3  # so often is each contact tried
OLD_NEWS_SECONDS: Final = 3600.0  # a notice that reached nobody by then is left


def notice(state: State, person: Person | None, key: str, subject: str, text: str) -> tuple[PageOrdered, ...]:
    """Over the person's first contact; nothing for whom no people file knows, or who has none. It ends with the address of
    the page of who is on call, where swaps are answered."""
    contact = next(iter(contacts_of(state, person)), None) if person else None
    if person is None or contact is None:
        return ()
    ordered = PageOrdered(
        page=f"PAGE-{state.next_page}",
        incident="",
        key=f"{NOTICE}/{key}/{person.ident}",
        channel=contact.channel,
        subject=subject,
        text=f"{text}\n{state.policy.console}/oncall" if state.policy.console else text,
        severity=4,
        topics=(NOTICE,),
        person=person.ident,
        to=contact.to,
    )
    return (ordered,)


def zone_of(person: Person | None, schedule: Schedule | None) -> str:
    """On whose clock the person reads: their own, and the schedule's where the people file names none."""
    own = person.zone if person else "UTC"
    return own if own != "UTC" or schedule is None else schedule.zone


def moment(at: float, zone: str) -> str:
    """``Thu 24 Dec 18:00``, on the clock of ``zone``."""
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%a %d %b %H:%M")


def span(start_at: float, end_at: float, zone: str) -> str:
    """``Thu 24 Dec 18:00 to Fri 25 Dec 09:00 (Europe/Berlin)``."""
    return f"{moment(start_at, zone)} to {moment(end_at, zone)} ({zone})"


def sent_on(state: State, now: float) -> tuple[PageOrdered, ...]:
    """The notices that their last contact did not take, over the next one. ``repeat`` counts the tries of a notice."""
    tried: dict[str, list[PageRecord]] = {}
    for record in state.pages.values():
        if record.ordered.topics == (NOTICE,):
            tried.setdefault(_said(record.ordered), []).append(record)
    orders: list[PageOrdered] = []
    for key, records in tried.items():
        person = state.policy.people.person(records[0].ordered.person)
        contacts = contacts_of(state, person) if person else ()
        left = len(records) >= ROUNDS * len(contacts) or now - records[0].ordered_at > OLD_NEWS_SECONDS
        following = None if left else other_contact(contacts, records, now)
        if following is not None:
            count, contact = len(records), contacts[following]
            orders.append(
                replace(
                    records[0].ordered,
                    page=f"PAGE-{state.next_page + len(orders)}",
                    key=f"{key}/{count}",
                    channel=contact.channel,
                    to=contact.to,
                    repeat=count,
                )
            )
    return tuple(orders)


def _said(order: PageOrdered) -> str:
    """The key of the notice's first try."""
    return order.key.removesuffix(f"/{order.repeat}") if order.repeat else order.key
