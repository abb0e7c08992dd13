"""Builds the actuators that the settings name."""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.model.ports import Actuator
from midwatch.shell.config import SETTINGS_FILE, Settings, resolve


def build_actuators(settings: Settings) -> list[Actuator]:
    """What ``actuators:`` names, and the hands of the gym's fleet when one is named. Raises ConfigError."""
    if not settings.actuators and settings.fleet is None:
        return []
    from midwatch.adapters.actuators.load import fleet_section, load_actuators

    named = {**(fleet_section(settings.fleet) if settings.fleet else {}), **settings.actuators}
    return load_actuators(named, resolve, path=str(settings.folder / SETTINGS_FILE))


async def prepare(actuators: Sequence[Actuator]) -> None:
    """Let actuators look around once before the watch begins (how indexes are defined while they are still there)."""
    for actuator in actuators:
        remember = getattr(actuator, "remember_indexes", None)
        if remember is not None:
            await remember()
