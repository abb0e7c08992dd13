"""One event of every kind, with the values that are hard to keep: NaN, infinity, other alphabets, nested tuples."""

from __future__ import annotations

from typing import Any

import msgspec

from midwatch.model import events as e
from midwatch.model.actions import Action, Check, Expectation, Outcome, Verdict
from midwatch.model.adjustments import Adjustment
from midwatch.model.alerts import Alert, Judged, Matcher, Silence
from midwatch.model.findings import Evidence, Finding, Hypothesis, Impact
from midwatch.model.items import ActionItem
from midwatch.model.people import Override, Swap
from midwatch.model.policy import Policy
from midwatch.model.slo import Slo
from midwatch.model.world import Change

IMPACT = Impact("service:gateway", 0.15, 120.0, 990.0)
ACTION = Action(
    "act-1", "inc-1/act-1", "inc-1", "widen-pool", "resize_pool", "service:payment", {"size": 20},
    expectation=Expectation((Check("service:payment", "error_ratio", "<", 0.01),)),
)  # fmt: skip
CAUSE = Hypothesis(
    "service:payment", "pool_exhausted", 0.9, (Evidence("saturation", "service:payment", "18 wait on 5", 4.2),)
)  # fmt: skip
ALERT = Alert(
    "prometheus:a", "prometheus", "firing", 990.0, 980.0, 2, "Down", "payment is down", "service:payment",
    labels={"job": "payment", "zone": "\u00fc"}, links=("https://runbooks/Down",),
)  # fmt: skip

ONE_OF_EACH: tuple[Any, ...] = (
    e.WatchStarted("0.1.0", 3, "after a crash"),
    e.PolicyLoaded(Policy(slos=(Slo("payment-ok", "service:payment", "ratio", 0.999),)), ("slos/payment.yaml",)),
    e.SloDiscovered(Slo("cart", "service:cart", "ratio", 0.99), "normal traffic"),
    e.GapOpened("service:fraud", "no telemetry"),
    e.GapClosed("service:fraud"),
    e.CommandGiven("note", "Zoë", "inc-1", note="pa\u0142\u0105c \N{FIRE}"),
    e.ChangeSeen(Change("c1", 950.0, "deploy", "service:payment", "2.3.1", "2.3.0", "2.3.1", "ann")),
    e.FindingOpened(Finding("f|a", "burn_rate", "service:payment", 990.0, 0.15, 0.001, "ratio", float("inf"), "15 % fail")),
    e.IncidentOpened("inc-1", "payment fails", 990.0, 2, "15 %", ("f|a",), ("service:payment",), IMPACT),
    e.IncidentGrew("inc-1", ("f|b",), ("service:checkout",), "topology"),
    e.IncidentRated("inc-1", 1, "worse", IMPACT, "payment and checkout fail"),
    e.CauseRanked("inc-1", (CAUSE,), 0.1, "saturation"),
    e.CauseConfirmed("inc-1", "service:payment", "pool_exhausted", "ann"),
    e.ActionJudged(ACTION, Verdict("run", "autonomy", "earned")),
    e.ActionApproved("act-1", "ann"),
    e.ActionOrdered("act-1", ("ann",)),
    e.ActionEnded("act-1", Outcome("done", "pool 5 -> 20", {"size": 5})),
    e.ExpectationJudged("act-1", "met", "errors fell"),
    e.ActionDropped("act-2", "over"),
    e.AutonomyChanged("widen-pool", "auto", "20 met"),
    e.HandsOffChanged(True, "ann", "file"),
    e.PageOrdered("page-1", "inc-1", "inc-1/page-1/0", "phone", "SEV1 payment", "elevated errors"),
    e.PageEnded("page-1", "delivered"),
    e.IncidentAcknowledged("inc-1", "ann"),
    e.CommandRefused("approve", "act-9", "bob", "no such action"),
    e.IncidentCalmed("inc-1", True),
    e.IncidentMitigated("inc-1", "act-1"),
    e.UpdateWritten("inc-1", "errors fell to 0.1 %", {"ratio": 0.001}),
    e.IncidentResolved("inc-1", "calm for a minute", IMPACT),
    e.PostmortemWritten("inc-1", "# What happened"),
    e.FindingClosed("f|a"),
    e.BudgetAdjusted(Adjustment("ADJ-1", "exclude", "payment-ok", 900.0, 960.0, "ann", "database upgrade")),
    e.AdjustmentCounted("ADJ-1", {"payment-ok": (90.0, 120.5), "payment-ok{tenant=caf\u00e9}": (1.0, 2.0)}),
    e.AdjustmentWithdrawn("ADJ-1", "bob", "it was the wrong day"),
    e.BudgetCrossed("payment-ok", "payment-ok", "freeze", 1.0, 1.25, True, "125 % spent"),
    e.AlertsReceived((ALERT,), {"prometheus:b": 3}),
    e.AlertsJudged((Judged("prometheus:a", "grouped", "same service", "alert|service:payment|Down", "inc-1"),)),
    e.AlertNoted("prometheus:a", "Zo\u00eb", "it is the cable"),
    e.SilenceSet(Silence("SIL-1", "silence", (Matcher("job", "=~", "pg.*"),), 990.0, 1990.0, "ann", "upgrade")),
    e.SilenceEnded("SIL-1", "its time is over", 2),
    e.ItemOpened(ActionItem("AI-1", "inc-1", "a larger pool \u00fc", "payments", 1990.0, "last", "service:payment pool")),
    e.ItemFiled("AI-1", "code", "17", "https://example.org/17"),
    e.ItemSeenAgain("AI-1", "inc-2"),
    e.ItemLate("AI-1"),
    e.ItemClosed("AI-1", "ann", "it is twice as large"),
    e.SignedIn("ann", "oidc", "operator"),
    e.AccessRefused("bo", "approve", "approve takes the role operator; bo has responder", 3),
    e.SecretsRead({"env:PAGE_SECRET": (12, 0), "file:/etc/midwatch/gone": (0, 2)}),
    e.SettingsRead({"tick_seconds": "0f", "access": "a1"}, ("access",)),
    e.AcknowledgementExpired("inc-1", "ann", "an hour is over"),
    e.EscalationStarted("inc-1", "shop", "shop", "shop owns payment", 2, 7, "", "ben", 300.0),
    e.EscalationAdvanced("inc-1", 2, 31.5, "nobody is on call before it"),
    e.OverrideSet(Override("shop", "Zo\u00eb", 990.0, 1990.0, "ann", "bob", "dentist", "OVR-1")),
    e.OverrideEnded("OVR-1", "bob"),
    e.SwapAsked(Swap("SWP-1", "shop", "ann", 990.0, 1990.0, "bob", 2990.0, 3990.0)),
    e.SwapAnswered("SWP-1", "accepted", "bob"),
    e.OnCallChanged("shop", "bob", "ann", "week"),
    e.IncidentMerged("inc-1", "inc-2", "ann", "one cable, Zo\u00eb says"),
    e.IncidentSplit("inc-1", "inc-3", ("f|b",), ("service:checkout",), "ann", "its own trouble"),
    e.GroupingLearned("inc-1", (("service:payment", "service:checkout"),), False, "ann"),
    e.RoleTaken("inc-1", "commander", "Zo\u00eb", "ann"),
    e.DecisionMade("inc-1", "we fail over, Zo\u00eb says", "ann"),
    e.StepTicked("inc-1", "Support was told", "ann"),
    e.StepUnticked("inc-1", "Support was told", "ann"),
    e.TaskSet("inc-1", 1, "ask Zo\u00eb for the dump", "bob", "ann"),
    e.TaskGiven("inc-1", 1, "", "ann"),
    e.TaskDone("inc-1", 1, "bob"),
    e.WarRoomOrdered("inc-1", "open", "team", "inc-1-payment-errors"),
    e.WarRoomEnded("inc-1", "open", True, "", "", "inc-1-payment", "C0ROOM", "https://t.slack.com/archives/C0ROOM", "17.1"),
    e.MailingOrdered(
        "inc-1/1", "inc-1", "investigating", ("Shop",), "Began: Errors of Shop", "About 15 % of the requests fail."
    ),
    e.MailingEnded("inc-1/1", 120, 1, 1, 3),
    e.SubscribersTouched("removed", "ann", "k3jd83hd"),
    e.SloWithdrawn("cart-availability", "cart has been gone for days"),
    e.TextErased((4, 9), "ann", "Maria asked for it"),
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal, with NaN equal to NaN (and 1 equal to 1.0)."""
    return plain_text(one) == plain_text(other)


def plain_text(value: Any) -> str:
    return repr(_floats(plain(value)))


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_floats(one) for one in value]
    return float(value) if type(value) is int else value


def plain(value: Any) -> Any:
    """Every field spelled out, defaults included: what an old entry must still mean."""
    if isinstance(value, msgspec.Struct):
        return {"": type(value).__name__} | {
            name: plain(getattr(value, name)) for name in value.__struct_fields__
        }  # fmt: skip
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    return value
