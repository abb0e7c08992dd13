"""What those who subscribed to the page for customers are to be told now: what the page says and no mailing has said yet.

A function of the page and the state, so that a restart owes what it owed before. An incident that was over before anybody
was told of it stays on the page only. One that leaves the page, because it is part of another or turned out to be smaller,
is told to be gone: nobody waits for its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from midwatch.core.oncall.status_page import PublicIncident, StatusPage
from midwatch.model.events import MailingOrdered
from midwatch.model.state import State

RANKS: Final = {"investigating": 1, "identified": 2, "monitoring": 3, "resolved": 4}
WITHDRAWN: Final = "withdrawn"
OVER: Final = ("resolved", WITHDRAWN)
HEADS: Final = {"monitoring": "Eased", "resolved": "Over", "identified": "Going on", "investigating": "Began"}
MAX_MAILINGS: Final = 8  # about one incident, however often it comes and goes


def owed(page: StatusPage, state: State, severity: int = 2) -> tuple[MailingOrdered, ...]:
    """The mailings to order now. ``severity`` is the least that the page shows (``status_page``)."""
    return (*_news(page, state), *_gone(page, state, severity))


def mailing_id(incident: str, number: int) -> str:
    return f"{incident}/{number}"


def _news(page: StatusPage, state: State) -> Iterator[MailingOrdered]:
    for incident in page.incidents:
        known = state.mailings.get(incident.id)
        number = known.number + 1 if known else 1
        back = known is not None and known.phase == WITHDRAWN
        if number > MAX_MAILINGS or (incident.ended_at is not None and (known is None or back)):
            continue
        if known is None or back or RANKS[incident.phase] > RANKS.get(known.phase, 0):
            subject = f"{HEADS[incident.phase]}: {incident.title}"
            ident = mailing_id(incident.id, number)
            yield MailingOrdered(ident, incident.id, incident.phase, incident.components, subject, _text(incident))


def _text(incident: PublicIncident) -> str:
    return "\n".join(f"{_when(told.at)} UTC: {told.text}" for told in incident.updates)


def _gone(page: StatusPage, state: State, severity: int) -> Iterator[MailingOrdered]:
    shown = {incident.id for incident in page.incidents}
    for ident, known in state.mailings.items():
        incident = state.incidents.get(ident)
        if incident is None or ident in shown or known.phase in OVER:
            continue
        if incident.merged_into:
            why = "It is part of another incident, and told of there from now on."
        elif incident.outside > severity:
            why = "It turned out to be smaller than we thought, so we no longer report it."
        else:
            continue
        subject = f"Withdrawn: {known.subject.partition(': ')[2]}"
        yield MailingOrdered(
            mailing_id(ident, known.number + 1),
            ident,
            WITHDRAWN,
            known.components,
            subject,
            f"{_when(page.made_at)} UTC: {why}",
        )


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
