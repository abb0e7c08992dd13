"""The detect stage: what is wrong where since when. Findings are journaled on transition only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from midwatch.core.detect.bursts import log_bursts
from midwatch.core.detect.dead import dead_signals
from midwatch.core.detect.deaths import deaths
from midwatch.core.detect.gaps import gaps
from midwatch.core.detect.habits import out_of_habit, remember
from midwatch.core.detect.lateness import learn_lateness
from midwatch.core.detect.resources import resources
from midwatch.core.detect.shapes import trace_shapes
from midwatch.core.detect.symptoms import recovered, symptoms
from midwatch.core.detect.trend import trending
from midwatch.core.memory import WARM_UP_SECONDS
from midwatch.core.turn import Turn
from midwatch.model.events import FindingClosed, FindingOpened
from midwatch.model.findings import ALERT, HARMFUL, LEADS, OF_BUDGETS, Finding

QUIET_SECONDS: Final = 15.0
QUIET_LEAD_SECONDS: Final = 60.0
MAX_OPEN: Final = 500
MAX_LEADS: Final = 100  # of them
MAX_NEW_PER_TURN: Final = 50

Detector = Callable[[Turn], Iterable[Finding]]
DETECTORS: Final[tuple[Detector, ...]] = (
    symptoms,
    deaths,
    resources,
    log_bursts,
    trace_shapes,
    trending,
    dead_signals,
    out_of_habit,
)


def warming_up(turn: Turn) -> bool:
    """Whether the working set is too young to say that anything is over, or new."""
    return turn.now - turn.memory.started_at < WARM_UP_SECONDS or turn.world.series.steps < 3


def detect(turn: Turn) -> Turn:
    """Say what cannot be read, open findings that are new, close those whose condition has been gone for a while."""
    turn = learn_lateness(remember(gaps(turn)))
    if warming_up(turn):
        return turn
    seen = {finding.id: finding for detector in DETECTORS for finding in detector(turn)}
    known = turn.state.findings
    leads = MAX_LEADS - sum(finding.kind in LEADS for finding in known.values())
    fresh = [finding for ident, finding in seen.items() if ident not in known and finding.kind not in LEADS]
    fresh += [finding for ident, finding in seen.items() if ident not in known and finding.kind in LEADS][
        : max(0, leads)
    ]
    fresh = fresh[:MAX_NEW_PER_TURN]
    room = max(0, MAX_OPEN - sum(finding.kind != ALERT for finding in known.values()))
    turn = turn.emit(*(FindingOpened(finding) for finding in fresh[:room]))
    return _closed(turn, seen)


def _closed(turn: Turn, seen: dict[str, Finding]) -> Turn:
    """Close what has been quiet for ``QUIET_SECONDS``. A harmful finding is quiet only when its signal is seen to be
    back; that a detector no longer fires is not enough, because its history may have got used to the trouble."""
    quiet: dict[str, float] = {}
    gone: list[FindingClosed] = []
    for ident, finding in turn.state.findings.items():
        if finding.kind in OF_BUDGETS or finding.kind == ALERT or ident in seen:
            continue
        if finding.kind in HARMFUL and not recovered(turn, finding):
            continue
        since = turn.memory.quiet_since.get(ident, turn.now)
        if turn.now - since >= (QUIET_LEAD_SECONDS if finding.kind in LEADS else QUIET_SECONDS):
            gone.append(FindingClosed(ident))
        else:
            quiet[ident] = since
    return turn.emit(*gone).remember(quiet_since=quiet)
