"""More of the made-up story, for a watch that has been on for a while: past incidents with what they turned out to be, and a
second open incident beside the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from midwatch.model import events as e
from midwatch.model.findings import Finding, Hypothesis, Impact

if TYPE_CHECKING:
    from midwatch.faces.console.fakes import FakeWatch

PAST = 34


def tell_history(watch: FakeWatch) -> None:
    """Incidents of the last hours, nearly as often right as midwatch was sure, with one pair that a person took apart."""
    dice = np.random.default_rng(11)
    for number in range(PAST):
        at = watch.now - 7000 + 180 * number
        ident, sure = f"INC-{100 + number}", float(dice.beta(5, 1.6))
        kind = "bad_deploy" if dice.random() < 0.5 else "slow_service"
        meant = Hypothesis("service:pricing", kind, sure)
        watch.say(
            at,
            e.IncidentOpened(ident, "Slow responses from search", at - 20, 3, "1 %", (), ("service:search",)),
            e.CauseRanked(ident, (meant,), 1 - sure),
            e.PageOrdered(f"P-{ident}", ident, f"{ident}/ops-webhook/0", "ops-webhook", "slow", "", 3),
            e.PageEnded(f"P-{ident}", "delivered"),
            e.CauseConfirmed(ident, "service:pricing", kind if dice.random() < sure else "bad_config", "anna"),
            e.IncidentResolved(ident, "calm for 60 s"),
        )
    watch.say(
        watch.now - 900,
        e.GroupingLearned("INC-120", (("service:checkout", "service:search"),), False, "anna"),
        e.GroupingLearned("INC-121", (("service:checkout", "service:gateway"),), True, "bo"),
    )


def tell_another(watch: FakeWatch) -> None:
    """Search is slow at the same time, for a reason of its own."""
    at = watch.now - 90
    slow = Finding("latency_shift|service:search|", "latency_shift", "service:search", at, 0.2, 0.01, "ratio", 9.0)
    watch.say(
        at,
        e.FindingOpened(slow),
        e.IncidentOpened(
            "INC-8",
            "Slow responses from search",
            at,
            3,
            "1 % or more of the requests are affected (2.0% of search)",
            (slow.id,),
            ("service:search",),
            Impact("service:search", 0.02, 40, at, "slow"),
            "kept out of INC-7: anna said that checkout and search are separate (INC-120)",
        ),
    )
