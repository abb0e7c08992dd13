"""The judge: one case's score from what users felt, what the journal says and what was true. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from midwatch.gym.faults.truth import Truth
from midwatch.gym.score.users import Request, bad_share, first_harm, recovered_at
from midwatch.model import events as e
from midwatch.model.actions import Scalar
from midwatch.model.findings import Hypothesis, Incident
from midwatch.model.fold import fold_all
from midwatch.model.state import ActionRecord, State

WORSE_WINDOW_SECONDS = 20.0
WORSE_BY = 0.10  # an action made it worse when the bad share rose by so much in the window after it


class Deed(Struct, frozen=True):
    """An action that midwatch carried out, in seconds after the injection."""

    verb: str
    target: str
    after_seconds: float
    status: str
    accepted: bool
    undo: bool
    bad_before: float
    bad_after: float
    parameters: dict[str, Scalar] = field(default_factory=dict)
    result: str = ""
    failed: bool = False  # known to have had no effect

    @property
    def worsened(self) -> bool:
        return not self.accepted and not self.failed and self.bad_after - self.bad_before > WORSE_BY


class Score(Struct, frozen=True):
    """One case. Times are seconds from the first harm that users felt (``harm_after_seconds`` from the injection); None
    means that it did not happen."""

    harm_after_seconds: float | None = None
    bad_share_peak: float = 0.0
    detected: bool = False
    detect_seconds: float | None = None
    entity_rank: int | None = None  # of the true entity in the ranking at the first page or action
    cause_rank: int | None = None  # the same, with the true kind
    ranking: tuple[str, ...] = ()
    unknown: float | None = None
    top_probability: float | None = None
    final_entity_rank: int | None = None
    right_fix: bool = False
    fix_seconds: float | None = None
    recovered: bool = False
    recover_seconds: float | None = None
    deeds: tuple[Deed, ...] = ()
    worsened: int = 0
    wrong_actions: int = 0
    incidents_before: int = 0  # opened before anything was injected: false
    pages_before: int = 0
    actions_before: int = 0
    incidents: int = 0  # from the injection on
    pages: int = 0
    actions: int = 0
    notes: tuple[str, ...] = field(default_factory=tuple)


def judge(
    truth: Truth,
    requests: Sequence[Request],
    journal: Sequence[e.Recorded],
    *,
    start_at: float,
    end_at: float,
) -> Score:
    """Score the case of ``truth`` over ``start_at..end_at``; ``requests`` in the order in which they were sent."""
    injected = truth.injected_at
    journal = [r for r in journal if r.at <= end_at]
    state = fold_all(journal)
    harm = first_harm(requests, injected) if truth.harmful else None
    opened = [i for i in state.incidents.values() if i.opened_at >= injected]
    before = [i for i in state.incidents.values() if start_at <= i.opened_at < injected]
    pages_at = [r.at for r in journal if isinstance(r.event, e.PageOrdered) and r.at >= start_at]
    deeds = _deeds(truth, state, requests)
    recovered = recovered_at(requests, harm, end_at) if harm is not None else None
    first = min(opened, key=lambda i: i.opened_at, default=None)
    ranking = first.first_ranked if first else ()
    fixed = min((d.after_seconds for d in deeds if d.accepted and not d.failed and not d.undo), default=None)
    origin = injected if harm is None else harm
    ordered_before = [
        a for a in state.actions.values() if a.ordered_at is not None and start_at <= a.ordered_at < injected
    ]
    ranked_truth = _rank(ranking, truth, with_kind=False)
    return Score(
        harm_after_seconds=None if harm is None else harm - injected,
        bad_share_peak=_peak(requests, injected, end_at),
        detected=first is not None,
        detect_seconds=first.opened_at - origin if first else None,
        entity_rank=ranked_truth,
        cause_rank=_rank(ranking, truth, with_kind=True),
        ranking=tuple(f"{h.entity} {h.kind} {h.probability:.2f}" for h in ranking[:5]),
        top_probability=ranking[0].probability if ranking else None,
        unknown=max(0.0, 1.0 - sum(h.probability for h in ranking)) if ranking else None,
        final_entity_rank=_rank(first.hypotheses, truth, with_kind=False) if first else None,
        right_fix=fixed is not None,
        fix_seconds=None if fixed is None else injected + fixed - origin,
        recovered=recovered is not None,
        recover_seconds=None if recovered is None else recovered - origin,
        deeds=deeds,
        worsened=sum(d.worsened for d in deeds),
        wrong_actions=sum(not d.accepted and not d.undo for d in deeds),
        incidents_before=len(before),
        pages_before=sum(at < injected for at in pages_at),
        actions_before=len(ordered_before),
        incidents=len(opened),
        pages=sum(at >= injected for at in pages_at),
        actions=len(deeds),
        notes=_notes(truth, harm, first),
    )


def _rank(ranking: Sequence[Hypothesis], truth: Truth, *, with_kind: bool) -> int | None:
    """Place (from 1) of the truth in ``ranking``. Without kinds, an entity counts once, at its best place."""
    seen: list[str] = []
    for place, hypothesis in enumerate(ranking, start=1):
        if with_kind:
            if truth.says(hypothesis.entity, hypothesis.kind):
                return place
        elif hypothesis.entity not in seen:
            seen.append(hypothesis.entity)
            if truth.names(hypothesis.entity):
                return len(seen)
    return None


def _deeds(truth: Truth, state: State, requests: Sequence[Request]) -> tuple[Deed, ...]:
    done = [a for a in state.actions.values() if a.ordered_at is not None and a.ordered_at >= truth.injected_at]
    return tuple(_deed(truth, record, requests) for record in sorted(done, key=lambda a: a.ordered_at or 0.0))


def _deed(truth: Truth, record: ActionRecord, requests: Sequence[Request]) -> Deed:
    action, at = record.action, record.ordered_at or 0.0
    failed = record.outcome is not None and record.outcome.status == "failed"
    return Deed(
        action.verb,
        action.target,
        at - truth.injected_at,
        record.status,
        truth.cured_by(action.verb, action.target, action.parameters),
        bool(action.undo_of),
        bad_share(requests, at - WORSE_WINDOW_SECONDS, at),
        bad_share(requests, at + 5.0, at + 5.0 + WORSE_WINDOW_SECONDS),
        dict(action.parameters),
        record.outcome.result[:300] if record.outcome else "",
        failed,
    )


def _peak(requests: Sequence[Request], since_at: float, until_at: float) -> float:
    """The worst share of bad requests over 10 s slices."""
    slices: dict[int, list[bool]] = {}
    for request in requests:
        if since_at <= request.at < until_at:
            slices.setdefault(int((request.at - since_at) // 10), []).append(request.bad)
    return max((sum(bad) / len(bad) for bad in slices.values() if len(bad) >= 10), default=0.0)


def _notes(truth: Truth, harm: float | None, first: Incident | None) -> tuple[str, ...]:
    notes = []
    if truth.harmful and harm is None:
        notes.append("no user felt it: this case proves nothing about detection")
    if first is not None and not first.first_ranked:
        notes.append("nothing was ranked when the first page or action went out")
    return tuple(notes)
