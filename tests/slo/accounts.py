"""Accounts for reports, from plain arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midwatch.core.slo.month import Account, Correction
from midwatch.model.slo import Slo
from midwatch.model.world import Floats


def account_of(
    slo: Slo,
    at: Floats,
    good: Floats,
    total: Floats,
    *,
    step_seconds: float,
    first_at: float,
    seen_until: float,
    gap: str = "",
    corrections: Sequence[Correction] = (),
    key: str = "",
) -> Account:
    """An ``Account`` from counts in any order and with empty steps; the order is made, empty steps are left out."""
    order = np.argsort(at, kind="stable")
    at, good, total = at[order], good[order], total[order]
    some = total > 0
    return Account(
        slo, at[some], good[some], total[some], step_seconds, first_at, seen_until, gap, tuple(corrections), key
    )
