"""Look at the console without a watch: ``python -m midwatch.faces.console.preview [MOOD] [--port N] [--token T]``.

MOOD is one of empty, healthy, incident, asking, resolved, handsoff, blind, degraded, promises, alerts.
"""

from __future__ import annotations

import argparse
import time

from midwatch.faces.console.app import console_app
from midwatch.faces.console.fakes import MOODS, FakeWatch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m midwatch.faces.console.preview", description=__doc__)
    parser.add_argument("mood", nargs="?", default="incident", choices=MOODS)
    parser.add_argument("--port", type=int, default=8485)
    parser.add_argument("--token", default=None)
    parser.add_argument("--services", type=int, default=16)
    parser.add_argument("--promises", type=int, default=0)
    given = parser.parse_args()
    import uvicorn

    watch = FakeWatch(given.mood, time.time(), given.token, given.services, promises=given.promises)
    uvicorn.run(console_app(watch), host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
