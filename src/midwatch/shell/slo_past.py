"""What a running watch knows of a promise's past: from its store in steps of five minutes, and from the ledger."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from midwatch.core.memory import Memory
from midwatch.model.errors import StoreError
from midwatch.model.world import SliCounts
from midwatch.shell.history import group_of, of_ledger


async def past_of(
    memory: Memory, store: Any, name: str, since_at: float, now: float
) -> tuple[list[SliCounts], list[str]]:
    """Counts of every ledger of ``name`` since ``since_at``, and what has to be said about them. ``store`` may be None.
    What the store has is taken first: it keeps five minutes where the ledger keeps hours."""
    ledgers = {key: ledger for key, ledger in memory.ledgers.items() if key.partition("{")[0] == name}
    stored: dict[str, Any] = {}
    notes: list[str] = []
    if store is not None:
        from midwatch.shell.store.slo_counts import read_rows

        try:
            stored = await read_rows(store, since_at, now, exact=[name])
        except StoreError as error:
            notes.append(f"the store does not answer ({error}): this is what the ledgers know")
    found = []
    for key, ledger in ledgers.items():
        told, said = await asyncio.to_thread(of_ledger, name, key, ledger)  # thousands of sums: not on the loop
        rows = stored.get(key)
        if rows is None or not rows.at.size:
            found.append(told)
            notes += [said] if said else []
            continue
        begin, end = float(rows.at[0]), rows.seen_until
        before, after = told.at < begin, told.at >= end - 1e-6
        at, good, total = (
            np.concatenate([getattr(told, n)[before], getattr(rows, n), getattr(told, n)[after]])
            for n in ("at", "good", "total")
        )
        found.append(SliCounts(name, group_of(key), at, good, total, told.seen_until))
        if said and before.any() and since_at < begin:
            notes.append(said)
    return found, notes
