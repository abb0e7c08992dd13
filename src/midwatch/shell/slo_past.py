"""What a running watch knows of a promise's past: from its store in steps of five minutes, and from the ledger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from midwatch.core.memory import Ledger, Memory
from midwatch.model.errors import StoreError
from midwatch.model.world import SliCounts
from midwatch.shell.history import of_ledger, spread_until

if TYPE_CHECKING:
    from midwatch.shell.store.slo_counts import Rows


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
        found.append(await asyncio.to_thread(joined, told, rows, ledger))
        if said and since_at < float(rows.at[0]) and (told.at < rows.at[0]).any():
            notes.append(said)
    return found, notes


def joined(told: SliCounts, rows: Rows, ledger: Ledger) -> SliCounts:
    """What a ledger told (``of_ledger``) and its five-minute ``rows`` in the store as one, each event once.

    Where the ledger has five minutes itself, the fuller of the two counts holds: a ledger that began anew knows less of its
    first step, the store less of its newest. Further back the ledger knows hours: the store's rows hold, and of an hour that
    the store has in part only what is left of it goes to its other steps, evenly.
    """
    at = np.unique(np.concatenate([told.at, rows.at]))
    mine, stored = np.searchsorted(at, told.at), np.searchsorted(at, rows.at)
    table, kept = np.zeros((2, at.size)), np.zeros((2, at.size))
    table[:, mine], kept[:, stored] = (told.good, told.total), (rows.good, rows.total)
    in_store, open_ = np.zeros(at.size, dtype=bool), np.zeros(at.size, dtype=bool)
    in_store[stored] = open_[mine] = True
    open_ &= ~in_store
    spread = at < spread_until(ledger)
    _, hour = np.unique(np.floor(at / ledger.levels[2][0]), return_inverse=True)
    whole, have = (np.stack([np.bincount(hour, row * spread) for row in both]) for both in (table, kept))
    full = np.bincount(hour, open_ & spread) == 0
    open_ |= full[hour] & np.append(hour[1:] != hour[:-1], True)  # its last step takes what is left, if anything
    many = np.bincount(hour, open_ & spread)
    # What came late can make an hour more than its rows; rows from before a ledger began anew more than its hour.
    rest = np.maximum(whole - have, 0.0) / np.maximum(many, 1)
    rest[0] = np.minimum(rest[0], rest[1])
    fuller = np.where(kept[1] >= table[1], kept, table)
    counts = np.where(spread, kept + open_ * rest[:, hour], fuller)
    return SliCounts(told.slo, told.group, at, counts[0], counts[1], told.seen_until)
