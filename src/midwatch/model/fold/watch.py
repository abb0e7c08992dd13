"""What the watch itself, its settings and the world say: that part of the fold. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from midwatch.model import events as e
from midwatch.model.adjustments import SloEdit
from midwatch.model.fold.registry import on
from midwatch.model.slo import Slo
from midwatch.model.state import PlaybookRecord, State

MAX_CHANGES = 200
MAX_SLO_EDITS = 200
MAX_HEARD = 2000
HEARD_SECONDS = 8 * 3600.0  # longer than what is done elsewhere may take to get here


@on(e.WatchStarted)
def _watch_started(state: State, event: e.WatchStarted, at: float) -> State:
    return replace(state, epoch=event.epoch)


@on(e.PolicyLoaded)
def _policy_loaded(state: State, event: e.PolicyLoaded, at: float) -> State:
    before = {p.name: p.autonomy for p in state.policy.playbooks}
    playbooks: dict[str, PlaybookRecord] = {}
    for book in event.policy.playbooks:
        known = state.playbooks.get(book.name)
        if known is None:
            known = PlaybookRecord(level=book.autonomy)
        elif before.get(book.name) != book.autonomy:  # its file says another level now: a person's word, like any other
            known = replace(known, level=book.autonomy, why="its file says so", streak=0)
        playbooks[book.name] = known
    edits = _slo_edits(state.policy.slos, event.policy.slos, at) if state.policy.slos else ()
    return replace(
        state, policy=event.policy, playbooks=playbooks, slo_edits=(*state.slo_edits, *edits)[-MAX_SLO_EDITS:]
    )


def _slo_edits(before: tuple[Slo, ...], after: tuple[Slo, ...], at: float) -> tuple[SloEdit, ...]:
    """What a new policy says differently about promises of the same name: their history goes on under the new words."""
    known = {slo.name: slo for slo in before}
    found = []
    for slo in after:
        old = known.get(slo.name)
        if old is None or old == slo:
            continue
        names = (f for f in Slo.__struct_fields__ if f not in ("source", "description", "annotations"))
        changed = [f for f in names if getattr(old, f) != getattr(slo, f)]
        plain = {f for f in changed if isinstance(getattr(slo, f), str | float) and f != "name"}
        said = [
            f"{f.replace('_', ' ')} {getattr(old, f)!s} -> {getattr(slo, f)!s}" if f in plain else f for f in changed
        ]
        if said:
            found.append(SloEdit(at, slo.name, ", ".join(said)))
    return tuple(found)


@on(e.SloDiscovered)
def _slo_discovered(state: State, event: e.SloDiscovered, at: float) -> State:
    return replace(state, discovered_slos={**state.discovered_slos, event.slo.name: event.slo})


@on(e.SloWithdrawn)
def _slo_withdrawn(state: State, event: e.SloWithdrawn, at: float) -> State:
    return replace(state, discovered_slos={n: slo for n, slo in state.discovered_slos.items() if n != event.slo})


@on(e.CommandGiven)
def _command_given(state: State, event: e.CommandGiven, at: float) -> State:
    if not event.key:
        return state
    kept = [(key, then) for key, then in state.heard.items() if at - then < HEARD_SECONDS and key != event.key]
    return replace(state, heard=dict([*kept, (event.key, at)][-MAX_HEARD:]))


@on(e.GapOpened)
def _gap_opened(state: State, event: e.GapOpened, at: float) -> State:
    return replace(state, gaps={**state.gaps, event.subject: event.reason})


@on(e.GapClosed)
def _gap_closed(state: State, event: e.GapClosed, at: float) -> State:
    return replace(state, gaps={k: v for k, v in state.gaps.items() if k != event.subject})


@on(e.ChangeSeen)
def _change_seen(state: State, event: e.ChangeSeen, at: float) -> State:
    if any(c.id == event.change.id for c in state.changes):
        return state
    return replace(state, changes=(*state.changes, event.change)[-MAX_CHANGES:])


@on(e.FindingOpened)
def _finding_opened(state: State, event: e.FindingOpened, at: float) -> State:
    return replace(state, findings={**state.findings, event.finding.id: event.finding})


@on(e.FindingClosed)
def _finding_closed(state: State, event: e.FindingClosed, at: float) -> State:
    return replace(state, findings={k: v for k, v in state.findings.items() if k != event.finding_id})


@on(e.SettingsRead)
def _settings_read(state: State, event: e.SettingsRead, at: float) -> State:
    return replace(state, settings=event.parts)
