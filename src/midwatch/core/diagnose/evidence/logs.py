"""Log templates that are new or burst, and what their words usually mean.

The lexicon is general knowledge of how software complains; a template counts for the entity that wrote it, or, where it
says that somebody else does not answer, for nobody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import edge_key, kind_of, name_of
from midwatch.model.world import LogPattern

WARN: Final = 13
LEXICON: Final[tuple[tuple[re.Pattern[str], str, float], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, weight)
    for pattern, kind, weight in (
        (r"pool.{0,20}(timeout|exhaust|full|limit)|(timeout|exhaust).{0,30}pool", faults.POOL_EXHAUSTED, 2.0),
        (r"no (free|available) connection|connection is not available, request timed out", faults.POOL_EXHAUSTED, 2.0),
        (r"(acquir|borrow|check(ing)? out)\w*.{0,20}\bconn|timeout exceeded when trying to connect",
         faults.POOL_EXHAUSTED, 2.0),
        (r"no space left|disk (is )?full|file too large|could not extend file", faults.DISK_FULL, 3.0),
        (r"lock timeout|lock wait|deadlock|canceling statement due to lock", faults.LOCK_CONTENTION, 1.5),
        (r"certificate.{0,40}(expired|not yet valid)|expired.{0,20}certificate|cert_has_expired|validity check failed",
         faults.CERT_EXPIRED, 5.0),
        (r"certificate|ssl:|tls handshake|x509", faults.CERT_EXPIRED, 2.5),
        (r"back-?off restarting|crashloopbackoff", faults.CRASH_LOOP, 3.0),
        (r"out of memory|oomkill|oom[- ]kill|memoryerror|cannot allocate memory", faults.MEMORY_LEAK, 2.0),
        (r"invalid (value|setting|config)|misconfigur", faults.BAD_CONFIG, 1.0),
        (r"unknown host|name or service not known|no such host", faults.BAD_CONFIG, 1.0),
        (r"\b(key|type|attribute|name|index|value|zerodivision|assertion|notimplemented)error\b", faults.BAD_DEPLOY, 0.8),
        (r"nullpointer|undefined is not|unhandled exception", faults.BAD_DEPLOY, 0.8),
    )
)  # fmt: skip
ABOUT_STORES: Final = frozenset({faults.DISK_FULL, faults.LOCK_CONTENTION})
MIN_LINES: Final = 3.0
MAX_CLUES: Final = 12


def logs(case: Case, blame: Blame) -> Iterator[Clue]:
    found: list[tuple[float, LogPattern, float, float]] = []
    for pattern, counts in zip(case.world.logs.patterns, case.world.logs.counts, strict=True):
        if pattern.severity < WARN:
            continue
        now = float(np.nansum(counts[case.bad]))
        usual = float(np.nansum(counts[case.normal])) * case.scale
        if now >= MIN_LINES and now > 4 * usual + 2:
            found.append((now - usual, pattern, now, usual))
    for _, pattern, now, usual in sorted(found, key=lambda f: -f[0])[:MAX_CLUES]:
        yield from _meaning(case, blame, pattern, now, usual)


def _meaning(case: Case, blame: Blame, pattern: LogPattern, now: float, usual: float) -> Iterator[Clue]:
    words = f"{pattern.template} {pattern.exemplar}"
    news = "new" if usual == 0 else f"{now / usual:.0f} times as often"
    for expression, kind, weight in LEXICON:
        if not expression.search(words):
            continue
        if kind == faults.BAD_DEPLOY and blame.error_weight == 0:
            return  # an exception makes requests fail, and what hurts is that they are slow
        text = f"{name_of(pattern.entity)} logs {news}, {now:.0f} times: {pattern.template[:120]}"
        for suspect in _suspects(case, pattern.entity, kind):
            scaled = weight * min(1.0, 0.4 + 0.2 * math.log1p(now))
            yield clue(
                suspect, kind, scaled, "logs", text, value=now, baseline=usual, unit="count", seen_at=pattern.entity
            )
        return


def _suspects(case: Case, writer: str, kind: str) -> tuple[str, ...]:
    if kind in ABOUT_STORES:  # the service complains about its database
        return tuple(c for c in case.world.callees.get(writer, ()) if kind_of(c) == "database") or (writer,)
    if kind == faults.CERT_EXPIRED:  # the client complains about the server's certificate
        subjects = case.world.callees.get(writer, ())
        return tuple(c for c in subjects if kind_of(c) == "service" and _unheard(case, writer, c)) or (writer,)
    return (writer,)


def _unheard(case: Case, caller: str, callee: str) -> bool:
    edge = edge_key(caller, callee)
    return case.excess(edge, signals.UNANSWERED_ERRORS) >= 2 or case.excess(edge, signals.CALL_ERRORS) >= 2
