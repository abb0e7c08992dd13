"""The lease lets every declared verb act, at every moment between two renewals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.shell.conftest import RecordingHands, make_settings
from tests.shell.test_watch import watch_of

from midwatch.adapters.actuators.registry import MANIFESTS
from midwatch.adapters.testing import check_declares
from midwatch.shell.effects import Limits


class Patient(RecordingHands):
    """Declares every verb that midwatch ships."""

    @property
    def verbs(self):  # type: ignore[no-untyped-def]
        return {verb: spec for manifest in MANIFESTS.values() for verb, spec in manifest.items()}


def test_no_shipped_verb_is_too_slow_for_the_lease(tmp_path: Path) -> None:
    async def go() -> None:
        watch = watch_of(make_settings(tmp_path), actuators=[Patient()])
        longest = max(spec.timeout_seconds for spec in watch.hands.verbs.values()) + Limits().lease_margin_seconds
        assert 2 / 3 * watch.handover.lease_seconds() > longest, (
            "not yet due for renewal means: covers the longest effect"
        )
        await watch.start()
        assert watch.books.held(longest)
        await watch.stop()

    asyncio.run(go())


@pytest.mark.parametrize("name", sorted(MANIFESTS))
def test_every_shipped_actuator_declares_what_guards_rely_on(name: str) -> None:
    others = {verb for manifest in MANIFESTS.values() for verb in manifest}
    check_declares(MANIFESTS[name].values(), others)
