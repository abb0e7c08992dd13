"""The same telemetry through the official OpenTelemetry SDK, in the services that use it."""

from __future__ import annotations

from midwatch.gym.fleet.telemetry import Telemetry


class SdkTelemetry(Telemetry):
    """Spans, logs and metrics of one process by the official SDK."""
