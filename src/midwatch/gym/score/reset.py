"""Putting a fleet back between two cases, what midwatch did to it at the proxy included."""

from __future__ import annotations

from midwatch.adapters.actuators.haproxy.actuator import HaproxyActuator
from midwatch.gym.fleet import Fleet
from midwatch.model.actions import Action


async def put_back(fleet: Fleet, regions: tuple[str, ...]) -> None:
    """Lift every fault, undo every change. Drains go first and by the proxy itself: the platform knows only its own."""
    proxy = HaproxyActuator(fleet.info.haproxy_socket)
    for region in regions:
        await proxy.apply(Action("reset", f"reset-{region}", "", "", "undrain_region", f"region:{region}"))
    await fleet.dark.call("clear")
    await fleet.dark.call("reset")
