"""Two replicas and PostgreSQL as three processes, and what may come between them: never two that write, nothing lost that
was accepted, and somebody is on watch again within seconds."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path

import pytest
from tests.ha.replicas import Replica, cluster, until

from midwatch.model.errors import JournalError
from midwatch.model.events import AlertsReceived

TAKEOVER_SECONDS = 15.0  # of a busy machine; benchmarks/ha.py measures what it takes on an idle one


class Senders:
    """Somebody who sends alerts to both replicas all the time. ``accepted`` are those that were answered with 2xx."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.accepted: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(one,), daemon=True) for one in replicas]
        for thread in self._threads:
            thread.start()

    def _send(self, replica: Replica) -> None:
        number = 0
        while not self._stop.wait(0.2):
            number += 1
            name = f"{replica.name}-{number}"
            if replica.alert(name):
                self.accepted.append(name)

    def end(self) -> list[str]:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        return self.accepted


@pytest.mark.integration
@pytest.mark.slow
def test_whatever_happens_to_the_leader_another_one_takes_over(tmp_path: Path) -> None:
    with cluster(tmp_path) as found:
        a = found.leader()
        b = found.other(a)
        assert "stands by" in b.health()["degraded"][0] and a.name in b.health()["degraded"][0]
        until(lambda: "stands by and takes no orders" in b.get("/").text, 30, found.story)
        said = {"verb": "note", "by": "ann", "note": "x"}
        refused = b._client.post(b.api + "/api/v1/commands", json=said, headers=b.token())
        assert refused.status_code == 503 and "stands by" in refused.json()["error"]
        senders = Senders(found.replicas)

        assert found.takeover_seconds(a.kill) < TAKEOVER_SECONDS
        a.start()  # it stands by now
        until(lambda: "stands by" in " ".join(a.health()["degraded"]), 30, found.story)

        assert found.takeover_seconds(lambda: setattr(b.path, "dark", True)) < TAKEOVER_SECONDS
        until(a.leads, 30, found.story)  # b writes no more; that it may not, it hears when its own lease is over
        b.path.dark = False
        until(lambda: "stands by" in " ".join(b.health()["degraded"]), 30, found.story)

        assert found.takeover_seconds(lambda: a.signal(signal.SIGSTOP)) < TAKEOVER_SECONDS
        a.signal(signal.SIGCONT)
        until(lambda: "stands by" in " ".join(a.health()["degraded"]), 30, found.story)

        found.server.kill()
        found.server.start()
        until(lambda: found.leader().alert("after-the-restart"), 30, found.story)

        accepted = senders.end()
        assert len(accepted) > 20
        journaled: set[str] = set()

        def all_there() -> bool:
            with contextlib.suppress(JournalError):  # its connection is from before the restart
                for one in found.journal.read():
                    if isinstance(one.event, AlertsReceived):
                        journaled.update(alert.summary.split()[0] for alert in one.event.alerts)
            return set(accepted) <= journaled

        until(all_there, 30, lambda: f"accepted and lost: {set(accepted) - journaled}")
        epochs = found.epochs()
        assert epochs == sorted(epochs) and len(set(epochs)) >= 4, "who was deposed writes no more"
        assert found.journal.verify().ok
