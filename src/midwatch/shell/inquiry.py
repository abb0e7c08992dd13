"""An inquiry over the store: rows are streamed from it into ``investigate``.

A running watch has its inquiries made by another process: an hour of telemetry keeps a core busy for a minute or more, and
paging does not wait for a question. That process is told where the store is on its standard input, so that no password
shows in a list of processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from midwatch.model.errors import MidwatchError, StoreError, UsageError
from midwatch.model.state import State
from midwatch.model.world import Change
from midwatch.shell.investigate import LEAD_SECONDS, Inquiry, Question, checked, investigate
from midwatch.shell.replay import Progress, rfc3339

if TYPE_CHECKING:
    from midwatch.shell.ingest.rows import Batch
    from midwatch.shell.store.store import Store

SLICE_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 900.0
NICER: Final = 10


async def from_store(
    store: Store,
    question: Question,
    *,
    causes_seen: Mapping[str, int],
    changes: Sequence[Change] = (),
    progress: Progress | None = None,
) -> Inquiry:
    """Raises UsageError (with what the store holds, when it holds nothing there) and StoreError."""
    checked(question)
    since = math.floor((question.since_at - LEAD_SECONDS) / SLICE_SECONDS) * SLICE_SECONDS
    first, last = await held(store)
    if math.isnan(first) or question.until_at < first or question.since_at > last:
        raise UsageError(
            f"the store holds no telemetry between {rfc3339(question.since_at)} and {rfc3339(question.until_at)}",
            hint="it holds none at all: is anything sending? midwatch status says what arrives"
            if math.isnan(first)
            else f"it holds {rfc3339(first)} to {rfc3339(last)}",
        )
    rows = store.rows_since(max(since, math.floor(first)), min(question.until_at, last + SLICE_SECONDS), SLICE_SECONDS)
    batches = _pulled(rows, asyncio.get_running_loop())
    return await asyncio.to_thread(
        lambda: investigate(
            batches, question, changes=changes, causes_seen=causes_seen, progress=progress, where="the store"
        )
    )


async def held(store: Store) -> tuple[float, float]:
    """The oldest and the newest moment of which the store has spans, logs or samples (unix seconds); NaN for none."""
    sql = " UNION ALL ".join(
        f"SELECT count() AS n, toUnixTimestamp64Milli(toDateTime64(min(ts), 3)) AS oldest, "
        f"toUnixTimestamp64Milli(toDateTime64(max(ts), 3)) AS newest FROM {store.database}.{table}"
        for table in ("spans", "logs", "samples")
    )
    found = [row for row in await store.query(sql) if row["n"]]
    if not found:
        return math.nan, math.nan
    return min(row["oldest"] for row in found) / 1e3, max(row["newest"] for row in found) / 1e3


def _pulled(rows: AsyncIterator[tuple[float, Batch]], loop: asyncio.AbstractEventLoop) -> Iterator[tuple[float, Batch]]:
    """``rows`` for a thread that is not the event loop's, one slice at a time: a whole window may not fit into memory."""

    async def following() -> tuple[float, Batch] | None:
        return await anext(rows, None)

    while (one := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield one


async def apart(store: Store, question: Question, state: State) -> dict[str, Any]:
    """``Inquiry.as_json`` from a process of its own. Raises UsageError, StoreError."""
    checked(question)
    address = store.address
    if address is None:
        raise StoreError("the telemetry store is not answering", hint="midwatch status says why")
    told = {
        "dsn": address.with_password(),
        "since_at": question.since_at,
        "until_at": question.until_at,
        "symptom": question.symptom,
        "causes_seen": state.causes_seen,
        "changes": msgspec.to_builtins(state.changes),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer, _ = await process.communicate(json.dumps(told).encode())
    except TimeoutError:
        raise StoreError(
            f"the inquiry took longer than {PATIENCE_SECONDS / 60:g} minutes", hint="ask for a shorter window"
        ) from None
    finally:
        if process.returncode is None:  # too long, or nobody waits any more
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError as error:
        raise StoreError(f"the inquiry ended with code {process.returncode} and no answer") from error
    if "error" in found:
        kind = UsageError if found.get("usage") else StoreError
        raise kind(found["error"], hint=found.get("hint", ""))
    return found


async def _answer(told: dict[str, Any]) -> dict[str, Any]:
    from midwatch.shell.store.store import Store

    question = Question(told["since_at"], told["until_at"], told["symptom"])
    changes = msgspec.convert(told["changes"], tuple[Change, ...])
    store = Store(dsn=told["dsn"])
    try:
        await store.start()
        found = await from_store(store, question, causes_seen=told["causes_seen"], changes=changes)
        return found.as_json()
    except MidwatchError as error:
        return {"error": str(error), "hint": error.hint, "usage": isinstance(error, UsageError)}
    finally:
        await store.close()


def main() -> None:
    """The other process: the question on standard input, the answer on standard output."""
    import os

    with contextlib.suppress(OSError):
        os.nice(NICER)
    json.dump(asyncio.run(_answer(json.load(sys.stdin))), sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
