"""A watch whose folder holds a promise that cannot be honoured: it starts, keeps the others, and says what it left out."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from tests.shell.conftest import RecordingChannel, RecordingHands, make_settings

from midwatch.shell.run import Watch

GOOD = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: kept}
spec:
  service: web
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {spec: {signal: good_requests}}}
        total: {metricSource: {spec: {signal: requests}}}
  objectives: [{target: 0.99}]
"""


def test_it_starts_with_the_promises_that_can_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(GOOD.replace("kept", "lost").replace("0.99", "1.5"))
    settings = make_settings(tmp_path, policy=(tmp_path / "good.yaml", tmp_path / "bad.yaml"))

    async def go() -> None:
        watch = Watch(settings, actuators=[RecordingHands()], channels=[RecordingChannel()])
        with caplog.at_level(logging.WARNING, "midwatch.watch"):
            await watch.start()
        try:
            assert [slo.name for slo in watch.state.policy.slos] == ["kept"]
            left_out = watch.vitals.troubles["promises"]
        finally:
            await watch.stop()
        assert "left out" in left_out and "bad.yaml:11: spec.objectives[0].target: must be less than 1" in left_out
        assert "bad.yaml:11" in caplog.text

    asyncio.run(go())
