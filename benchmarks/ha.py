"""How long nobody is on watch when the leader is gone: ``python benchmarks/ha.py [--times 5] [--out docs/results/ha.json]``.

Two replicas (``midwatch up``), a PostgreSQL and a pager as processes of this machine. The leader is killed, black-holed (its
path to PostgreSQL takes bytes and passes none, and nothing is closed) or stopped as by a hanging disk; PostgreSQL restarts.
Measured from the fault: the next leader's first entry in the journal, and the first page about an alert that was sent to the
other replica at that moment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.ha.replicas import Cluster, Replica, cluster, until  # noqa: E402


def killed(found: Cluster, leader: Replica) -> Callable[[], None]:
    leader.kill()
    return leader.start


def dark(found: Cluster, leader: Replica) -> Callable[[], None]:
    leader.path.dark = True
    return lambda: setattr(leader.path, "dark", False)


def stopped(found: Cluster, leader: Replica) -> Callable[[], None]:
    leader.signal(signal.SIGSTOP)
    return lambda: leader.signal(signal.SIGCONT)


def measure(
    found: Cluster, fault: Callable[[Cluster, Replica], Callable[[], None]], number: int
) -> tuple[float, float]:
    """Seconds until another one leads, and until its pager hears of a new alert."""
    leader = found.leader()
    other = found.other(leader)
    name = f"{fault.__name__}-{number}"
    began, mend = time.monotonic(), []
    sender = threading.Thread(target=until, args=(lambda: other.alert(name), 20))
    sender.start()
    led = found.takeover_seconds(lambda: mend.append(fault(found, leader)))
    until(lambda: found.pager.about(name), 30, found.story)
    paged = found.pager.about(name)[0][0] - began
    sender.join()
    other.acknowledge_all()  # else the fifth within minutes would be taken for a storm, and be one incident with the others
    mend[0]()
    until(lambda: leader.api and not leader.leads() and leader.health()["replicas"], 30, found.story)
    time.sleep(3)  # both have said that they are there
    return led, paged


def restarted(found: Cluster, number: int) -> float:
    """Seconds from the end of a PostgreSQL until an alert is taken again; it is started at once."""
    began = time.monotonic()
    found.server.kill()
    found.server.start()
    until(lambda: found.leader().alert(f"restart-{number}"), 30, found.story)
    return time.monotonic() - began


def words(seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "times": len(ordered),
        "median_seconds": round(ordered[len(ordered) // 2], 2),
        "worst_seconds": round(ordered[-1], 2),
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--times", type=int, default=5)
    asked.add_argument("--out", type=Path, default=ROOT / "docs/results/ha.json")
    given = asked.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder) / "replicas") as found:
        for fault in (killed, dark, stopped):
            pairs = [measure(found, fault, number) for number in range(given.times)]
            rows[fault.__name__] = {
                "another_leads": words([led for led, _ in pairs]),
                "page_about_a_new_alert": words([paged for _, paged in pairs]),
            }
        rows["postgresql_restarted"] = {
            "alerts_are_taken_again": words([restarted(found, number) for number in range(given.times)])
        }
        with contextlib.suppress(Exception):
            found.journal.head()  # its connection is from before the restart
        epochs = found.epochs()
        told = {
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
            "lease_seconds": 3.5,
            "faults": rows,
            "entries": len(epochs),
            "leaders_in_turn": len(set(epochs)),
            "entries_by_a_deposed_leader": sum(after < before for before, after in pairwise(epochs)),
            "chain_holds": found.journal.verify().ok,
        }
    given.out.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
