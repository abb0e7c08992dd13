"""What is wrong (Finding), what it adds up to (Incident), why (Hypothesis, Evidence)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

FindingKind = Literal[
    "burn_rate",  # an SLO burns its budget too fast: the guarded recipe that pages people
    "slow_burn",  # its errors crept above the budget: the sequential test that wakes the agent, never people
    "error_shift",  # the share of failing requests rose
    "latency_shift",  # the share of slow requests rose
    "traffic_drop",  # requests that used to come do not
    "queue_lag",  # messages wait and nobody takes them
    "saturation",  # a bounded resource is full
    "dying",  # a service's processes die again and again, whoever feels it
    "restart",  # a process died and came back, or keeps dying
    "silence",  # an entity stopped reporting
    "log_burst",  # a new or bursting error template
    "shape",  # calls per request changed: a trace looks otherwise
    "trend",  # something with a bound will be full soon
    "novel",  # a signal is where it never was
    "lost_signal",  # one signal of an entity is no longer reported while others are
    "cert_expiry",  # a certificate has expired or is about to
    "alert",  # other systems say so: one finding for all alerts of one name about one entity
]
SLOW_BURN = "slow_burn"
ALERT = "alert"
DYING = "dying"
OF_BUDGETS: frozenset[str] = frozenset({"burn_rate", SLOW_BURN})
"""Findings that the SLO stage opens and closes itself."""
NOT_TOLD = 5
"""Milder than any severity: those outside hear nothing of it."""
HARMFUL: frozenset[str] = OF_BUDGETS | {ALERT, DYING, "error_shift", "latency_shift", "traffic_drop", "queue_lag"}
"""Findings that users can feel or soon will, or that somebody wants to be woken for: only these open an incident. The others
are evidence."""
LEADS: frozenset[str] = frozenset({"log_burst", "shape", "trend", "novel", "lost_signal"})
"""Findings that may mean nothing: a deploy does such things on purpose. They have room of their own and wait longer before
they close, so that they never crowd out what harms."""


class Finding(Struct, frozen=True):
    """What is wrong where since when, how sure.

    ``value`` and ``baseline`` are in ``unit``. ``log_bayes`` is the log-likelihood ratio against "nothing changed"
    (natural log). ``id`` is stable while the finding lasts: ``kind|entity|detail``.
    """

    id: str
    kind: str
    entity: str
    since_at: float
    value: float
    baseline: float
    unit: str
    log_bayes: float = 0.0
    detail: str = ""
    slo: str = ""
    pages: bool = False
    severity: int = 0  # as its sender rates it, 1 to 4; 0: by what users feel
    runbook: str = ""  # a link that says what to do about it
    page_lines: tuple[str, ...] = ()  # what its sender gave for the page: links, a few details


class Evidence(Struct, frozen=True):
    """One reason for or against a hypothesis, in units that a person can check.

    ``weight`` is its log-likelihood ratio (positive speaks for the hypothesis). ``kind`` names the function that made
    it: blame_errors, blame_time, saturation, logs, change, concentration, network, silence, onset, resource.
    """

    kind: str
    entity: str
    text: str
    weight: float
    value: float = float("nan")
    baseline: float = float("nan")
    unit: str = ""


class Hypothesis(Struct, frozen=True):
    """A possible cause: ``entity``, fault ``kind`` (``model/faults.py``), probability 0..1.

    ``path`` leads from the cause to the symptom. ``scope`` narrows it: instance, region, version, caller, pid, index,
    change. Playbooks match on ``kind`` and read ``scope``.
    """

    entity: str
    kind: str
    probability: float
    evidence: tuple[Evidence, ...] = ()
    path: tuple[str, ...] = ()
    scope: dict[str, str] = field(default_factory=dict)
    refuted_by: str = ""
    next_check: str = ""


class Hindsight(Struct, frozen=True):
    """How sure midwatch was of the cause of ``incident`` when it first told people or acted (0..1), and whether it was
    ``right``: the same entity and the same kind as the cause that ``by`` (a person, or an action that helped) confirmed."""

    incident: str
    probability: float
    right: bool
    by: str
    at: float


class Impact(Struct, frozen=True):
    """What users feel: ``affected_ratio`` of the requests at ``entry`` since ``since_at``; ``budget_spent`` is the
    share of the period's error budget that this incident has used (0..1 and above)."""

    entry: str
    affected_ratio: float
    affected_requests: float
    since_at: float
    what: str = "errors"  # or "slow"
    slo: str = ""
    budget_spent: float = 0.0


Phase = Literal["open", "mitigating", "verifying", "mitigated", "resolved"]


class Incident(Struct, frozen=True):
    """One outage, however many findings it shows. ``severity`` 1 (worst) to 4."""

    id: str
    opened_at: float
    onset_at: float
    severity: int
    title: str
    phase: str = "open"
    findings: tuple[str, ...] = ()
    symptoms: tuple[str, ...] = ()
    impact: Impact | None = None
    hypotheses: tuple[Hypothesis, ...] = ()
    unknown: float = 1.0
    severity_reason: str = ""
    acknowledged_by: str = ""
    mitigated_at: float | None = None
    resolved_at: float | None = None
    calm_since_at: float | None = None
    confirmed_cause: str = ""
    first_ranked: tuple[Hypothesis, ...] = ()  # as journaled at the first page or action: what is scored
    diagnosed_at: float | None = None
    acknowledged_at: float | None = None
    absorbed: tuple[str, ...] = ()  # incidents that a person made part of this one
    merged_into: str = ""  # the incident that this one became part of
    split_from: str = ""  # the incident that a person took this one out of
    regrouped_at: float | None = None  # when a person last merged or split it
    worst_severity: int = 0  # as bad as it was before it was rated milder; 0: it never was
    worst_reason: str = ""
    worst_impact: Impact | None = None
    eased_at: float | None = None  # when the facts last made it milder, until it gets worse again
    rises: int = 0  # how often it got worse again after that
    said_severity: int = 0  # what a person said, while that holds
    said_facts: int = 0  # and how the facts rated it then
    said_by: str = ""
    heard_on: str = ""  # the channel of the other product at which its acknowledgement, or its end, was said
    told_severity: int = 0  # what a person last said, also once the facts are worse: so it may be told to those outside

    @property
    def worst(self) -> int:
        """As bad as it ever was."""
        return min(self.severity, self.worst_severity or self.severity)

    @property
    def outside(self) -> int:
        """What it counts as for those outside: as people said, else as bad as it ever was. Where nothing was measured of
        what users feel, only people's word counts."""
        if self.unmeasured:
            return self.told_severity or NOT_TOLD
        return self.said_severity or self.worst

    @property
    def fresh_at(self) -> float:
        """When it was opened, or last became another one by a person's word."""
        return max(self.opened_at, self.regrouped_at or 0.0)

    @property
    def only_dying(self) -> bool:
        """Whether all that is known of it is processes that keep dying: nobody is woken for that."""
        return bool(self.findings) and all(ident.startswith(f"{DYING}|") for ident in self.findings)

    @property
    def unmeasured(self) -> bool:
        """Whether nothing was measured of what users feel: other systems say so, or processes die, and that is all."""
        silent = (f"{ALERT}|", f"{DYING}|")
        return self.impact is None and bool(self.findings) and all(ident.startswith(silent) for ident in self.findings)

    @property
    def told_by_alerts(self) -> bool:
        """Whether all that is known of it is what other systems say."""
        return bool(self.findings) and all(ident.startswith(f"{ALERT}|") for ident in self.findings)
