"""Words, numbers and times as people read them at night. Everything here returns plain text; templates escape it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from midwatch.model import faults
from midwatch.model.actions import Action, Check, Expectation
from midwatch.model.entity import is_edge, name_of, split_edge
from midwatch.model.findings import Evidence, Incident
from midwatch.model.state import ActionRecord

NO_DATA = "no data"
NBSP = "\u00a0"  # between a number and its unit: they stay on one line

PHASES = {
    "open": "open",
    "mitigating": "fixing",
    "verifying": "checking the fix",
    "mitigated": "mitigated",
    "resolved": "resolved",
}

# status -> (what people read, tone)
ACTION_STATUS: dict[str, tuple[str, str]] = {
    "asked": ("waits for your yes", "warn"),
    "approved": ("approved", "info"),
    "rehearsed": ("rehearsed, nothing touched", "idle"),
    "refused": ("refused by a guard", "idle"),
    "ordered": ("being carried out", "info"),
    "done": ("done, checking the effect", "info"),
    "failed": ("failed", "bad"),
    "in_doubt": ("in doubt: nobody knows if it took effect", "nodata"),
    "met": ("done, and it helped", "ok"),
    "missed": ("done, and it did not help", "bad"),
    "unknown": ("done, effect unknown", "nodata"),
    "dropped": ("dropped", "idle"),
}
TOUCHED = frozenset({"ordered", "done", "failed", "in_doubt", "met", "missed", "unknown"})

AUTONOMY = {
    "shadow": "watches and writes down what it would do; touches nothing",
    "suggest": "suggests fixes; touches nothing",
    "ask": "asks before every fix",
    "canary": "fixes a small part by itself first",
    "auto": "fixes by itself, within its guards",
}

EVIDENCE = {"blame_errors": "where failures begin", "blame_time": "where the time goes"}

_VERB_WORDS = {
    "resize_pool": ("resize the pool of", "resized the pool of"),
    "restart": ("restart", "restarted"),
    "rollback_deploy": ("roll back the deploy of", "rolled back the deploy of"),
    "deploy": ("deploy", "deployed"),
    "rollback_config": ("roll back the config of", "rolled back the config of"),
    "apply_config": ("apply a config to", "applied a config to"),
    "set_flag": ("flip a flag of", "flipped a flag of"),
    "drain_instance": ("drain", "drained"),
    "undrain_instance": ("put back", "put back"),
    "drain_region": ("drain region", "drained region"),
    "undrain_region": ("put back region", "put back region"),
    "scale_out": ("scale out", "scaled out"),
    "scale_in": ("scale in", "scaled in"),
    "shed_load": ("shed load at", "shed load at"),
    "unshed_load": ("stop shedding load at", "stopped shedding load at"),
    "kill_session": ("end a blocking session in", "ended a blocking session in"),
    "rebuild_index": ("rebuild an index in", "rebuilt an index in"),
    "renew_certificate": ("renew the certificate of", "renewed the certificate of"),
    "flush_cache": ("flush", "flushed"),
    "bypass_cache": ("bypass the cache for", "bypassed the cache for"),
    "free_disk": ("free disk space of", "freed disk space of"),
}


def number(value: float | None, unit: str = "") -> str:
    """A number that fits a phone: 0.42, 18, 1,234, 2.3 M. NaN and None are "no data"."""
    if value is None or math.isnan(value):
        return NO_DATA
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if size >= 1e9:
        text = f"{value / 1e9:.1f}{NBSP}G"
    elif size >= 1e6:
        text = f"{value / 1e6:.1f}{NBSP}M"
    elif size >= 100 or value == int(value):
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 0.01:
        text = f"{value:.2f}".rstrip("0").rstrip(".")
    else:
        text = f"{value:.1e}"
    return f"{text}{NBSP}{unit}" if unit else text


def whole(value: float) -> str:
    """Every digit, for ledgers: ``1,298,412``."""
    return NO_DATA if math.isnan(value) else f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def rate(value: float) -> str:
    """Per second, two figures are enough: ``0.38``, ``9.3``, ``46``, ``1,240``."""
    if math.isnan(value):
        return NO_DATA
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def percent(ratio: float | None, digits: int | None = None) -> str:
    """``0.153`` -> ``15 %``; small shares keep their digits; NaN is "no data"."""
    if ratio is None or math.isnan(ratio):
        return NO_DATA
    value = ratio * 100
    if digits is None:
        size = abs(value)
        digits = 0 if size >= 10 or abs(value - round(value)) < 1e-6 else 1 if size >= 1 else 2
        if 0 < size < 0.01:
            return f"<{NBSP}0.01{NBSP}%"
    return f"{value:.{digits}f}{NBSP}%"


def target_percent(ratio: float) -> str:
    """A target keeps its nines: ``0.9995`` -> ``99.95 %``."""
    return f"{ratio * 100:.4f}".rstrip("0").rstrip(".") + NBSP + "%"


def measured(value: float, unit: str) -> str:
    """A value in its unit, in words: ratios as percent, bytes and seconds scaled."""
    if value is None or math.isnan(value):
        return ""
    if unit == "ratio":
        return percent(value)
    if unit == "bytes":
        for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if abs(value) >= size:
                return f"{value / size:.1f}{NBSP}{name}"
        return f"{value:.0f} bytes"
    if unit in ("seconds", "s"):
        return duration(value)
    if unit == "ms" and abs(value) >= 1000:
        return f"{value / 1000:.2f}{NBSP}s"
    return number(value, "" if unit == "count" else unit)


def duration(seconds: float | None) -> str:
    """``4 min``, ``2 h 5 min``, ``3 d``."""
    if seconds is None or math.isnan(seconds):
        return NO_DATA
    sign, left = ("-" if seconds < 0 else ""), abs(seconds)
    if left < 1:
        return f"{sign}{left * 1000:.0f}{NBSP}ms" if left else "0 s"
    if left < 120:
        return f"{sign}{left:.0f}{NBSP}s"
    if left < 90 * 60:
        return f"{sign}{left / 60:.0f}{NBSP}min"
    if left < 36 * 3600:
        hours, minutes = divmod(round(left / 60), 60)
        return f"{sign}{hours}{NBSP}h {minutes}{NBSP}min" if minutes else f"{sign}{hours}{NBSP}h"
    return f"{sign}{left / 86400:.0f}{NBSP}d"


def ago(at: float | None, now: float) -> str:
    if at is None:
        return "never"
    if at > now + 1:
        return f"in {duration(at - now)}"
    return "just now" if now - at < 5 else f"{duration(now - at)} ago"


def wall(at: float, zone: str) -> str:
    """``Mon 07 Dec 09:00 CET``, on the clock of a schedule."""
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%a %d %b %H:%M %Z")


def clock(at: float | None, now: float | None = None) -> str:
    """``02:13:05``, with the date when it is not today. Always UTC."""
    if at is None or math.isnan(at):
        return ""
    when = datetime.fromtimestamp(at, UTC)
    if now is not None and datetime.fromtimestamp(now, UTC).date() == when.date():
        return when.strftime("%H:%M:%S")
    return when.strftime("%d %b %H:%M")


def iso(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def entity(key: str) -> str:
    """What people call it: ``payment``, ``checkout → payment`` for an edge."""
    if is_edge(key):
        caller, callee = split_edge(key)
        return f"{name_of(caller) or caller} → {name_of(callee) or callee}"
    return name_of(key) or key


def fault(kind: str) -> str:
    return faults.DESCRIPTIONS.get(kind, kind.replace("_", " "))


def parameters(action: Action) -> str:
    shown = []
    for name, value in action.parameters.items():
        text = "on" if value is True else "off" if value is False else str(value)
        shown.append(f"{name.replace('_', ' ')} {text}")
    return ", ".join(shown)


def deed(record: ActionRecord) -> str:
    """The action in one line: past tense once it was carried out, else what it would be."""
    action = record.action
    plain = action.verb.replace("_", " ")
    intent, past = _VERB_WORDS.get(action.verb, (plain, f"did: {plain},"))
    done = record.status in TOUCHED and record.status not in ("ordered", "failed", "in_doubt")
    words = past if done else intent
    extra = parameters(action)
    undo = " (undo)" if action.undo_of else ""
    line = f"{words} {entity(action.target)}{undo}" + (f": {extra}" if extra else "")
    return line[:1].upper() + line[1:]


def status(record: ActionRecord) -> tuple[str, str]:
    return ACTION_STATUS.get(record.status, (record.status.replace("_", " "), "idle"))


def check(one: Check) -> str:
    if one.signal == "error_ratio":
        what, bound = "error share", percent(one.threshold)
    elif one.signal.startswith("slow_ratio"):
        what, bound = f"share slower than {one.signal.partition(':')[2] or '?'} ms", percent(one.threshold)
    else:
        what, bound = one.signal.replace("_", " "), measured(one.threshold, one.unit) or number(one.threshold)
    return f"{what} of {entity(one.subject)} {one.comparison} {bound}"


def expectation(expected: Expectation | None) -> str:
    if expected is None:
        return ""
    claims = " and ".join(check(c) for c in expected.checks) or "nothing"
    return f"{claims}, within {duration(expected.within_seconds)}, holding for {duration(expected.hold_seconds)}"


def deadline(record: ActionRecord) -> float | None:
    """When the expectation must hold at the latest (unix seconds)."""
    begun = record.ended_at or record.ordered_at
    if begun is None or record.action.expectation is None:
        return None
    return begun + record.action.expectation.within_seconds


def evidence_numbers(one: Evidence) -> str:
    """``18 requests, normally 0`` or nothing when the evidence carries no number."""
    value = measured(one.value, one.unit)
    if not value:
        return ""
    usual = measured(one.baseline, one.unit)
    return f"{value}, normally {usual}" if usual else value


def impact(incident: Incident) -> str:
    hit = incident.impact
    if hit is None:
        return ""
    what = "slow" if hit.what == "slow" else "failing"
    line = f"{percent(hit.affected_ratio)} of the requests at {entity(hit.entry)} {what}"
    if hit.affected_requests > 0:
        line += f", {number(round(hit.affected_requests))} in all"
    if hit.budget_spent > 0:
        line += f"; {percent(hit.budget_spent)} of the error budget spent"
    return line
