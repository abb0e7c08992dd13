"""Certificates that have expired: handshakes fail, so callers see no answer and the server sees no call."""

from __future__ import annotations

from collections.abc import Iterator

from midwatch.core.diagnose.blame import Blame
from midwatch.core.diagnose.case import Case
from midwatch.core.diagnose.clue import Clue, clue
from midwatch.model import faults, signals
from midwatch.model.entity import kind_of, name_of


def certificates(case: Case, blame: Blame) -> Iterator[Clue]:
    subjects = case.world.series.index.subjects_by_signal.get(signals.CERT_EXPIRES_SECONDS, ())
    for entity in subjects:
        left = case.values(entity, signals.CERT_EXPIRES_SECONDS, case.bad)
        left = left[left == left]  # drop NaN
        if kind_of(entity) == "instance" or not left.size or left[-1] > 0:
            continue
        text = f"the certificate of {name_of(entity)} expired {-left[-1]:.0f} s ago"
        share = max(0.5, blame.of(entity))
        yield clue(
            entity, faults.CERT_EXPIRED, 5.0, "certificate", text, value=float(left[-1]), baseline=0.0, unit="seconds",
            share=share,
        )  # fmt: skip
