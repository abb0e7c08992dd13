"""What the senders of its alerts said of an incident, as a page shows it: in its subject, and as lines in its text."""

from __future__ import annotations

from typing import Final

from midwatch.core.decide.sight import place
from midwatch.model.findings import Incident
from midwatch.model.state import State

MAX_RUNBOOKS: Final = 2
MAX_PAGE_LINES: Final = 4
MAX_HEADLINE: Final = 110
"""Characters, so that a telephone shows it whole."""
MIN_SAID: Final = 20
"""Less of what an alert said helps nobody."""


def headline(state: State, incident: Incident) -> str:
    """What a page's subject says: the title, and for what only alerts tell of also what the worst of them said, where there
    is room."""
    where = place(incident.impact.entry) if incident.impact and incident.impact.entry else ""
    title = incident.title or where or "incident"
    told = [state.findings[ident] for ident in incident.findings if ident in state.findings]
    if incident.phase == "resolved" or not incident.told_by_alerts or not told:
        return title
    worst = min(told, key=lambda finding: finding.severity)
    detail = worst.detail.removeprefix(f"{worst.id.split('|')[2]}: ").strip()
    said = " ".join(detail.partition("\n")[0].split()).rstrip(".")
    room = MAX_HEADLINE - len(title) - len(": ")
    if not said or said in title or room < min(len(said), MIN_SAID):
        return title
    return f"{title}: {said if len(said) <= room else said[: room - 1].rstrip() + '…'}"


def page_lines(state: State, incident: Incident) -> tuple[str, ...]:
    """Links and details that the senders of its alerts gave for the page, those of the first alerts first."""
    if incident.phase == "resolved":
        return ()
    findings = (state.findings[ident] for ident in incident.findings if ident in state.findings)
    return tuple(dict.fromkeys(line for finding in findings for line in finding.page_lines))[:MAX_PAGE_LINES]


def runbooks(state: State, incident: Incident) -> tuple[str, ...]:
    """The links that the senders of its alerts gave for it, those of the first alerts first."""
    if incident.phase == "resolved":
        return ()
    findings = (state.findings[ident] for ident in incident.findings if ident in state.findings)
    return tuple(dict.fromkeys(f.runbook for f in findings if f.runbook))[:MAX_RUNBOOKS]
