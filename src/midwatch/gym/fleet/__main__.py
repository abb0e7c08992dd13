"""``python -m midwatch.gym.fleet``: run the fleet until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time

from midwatch.gym.fleet.controller import Fleet, FleetError


async def _run(arguments: argparse.Namespace) -> int:
    services = arguments.services.split(",") if arguments.services else None
    fleet = Fleet(
        arguments.dir, arguments.otlp, rate=arguments.rate, seed=arguments.seed, services=services,
        day_seconds=arguments.day_seconds, record=arguments.record or None,
    )  # fmt: skip
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with fleet:
            print(f"started in {fleet.started_in_seconds:.1f} s; gateway {fleet.info.gateway_url}", flush=True)
            ends = asyncio.create_task(fleet.wait_closed())
            halted = asyncio.create_task(stop.wait())
            await asyncio.wait({ends, halted}, timeout=arguments.seconds or None, return_when=asyncio.FIRST_COMPLETED)
            records = list(fleet.load(time.time() - 60))
            if records:
                slow = sorted(record.latency_ms for record in records)
                bad = sum(not record.ok for record in records)
                print(f"last minute: {len(records)} requests, {bad} failed, p50 {slow[len(slow) // 2]:.1f} ms,"
                      f" p99 {slow[int(len(slow) * 0.99)]:.1f} ms")  # fmt: skip
            halted.cancel()
            if ends.done():
                print("the supervisor ended by itself: see supervisor.log", file=sys.stderr)
                return 1
            ends.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ends
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="midwatch.gym.fleet", description=__doc__)
    parser.add_argument("--dir", required=True, help="folder for the fleet's data")
    parser.add_argument("--otlp", default="", help="base URL of an OTLP/HTTP receiver")
    parser.add_argument("--rate", type=float, default=25.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--services", default="", help="comma-separated subset; default all")
    parser.add_argument("--day-seconds", type=float, default=0.0, help="length of a compressed day; 0 is flat")
    parser.add_argument("--record", default="", help="folder for OTLP JSON lines")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after this many seconds")
    return asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
