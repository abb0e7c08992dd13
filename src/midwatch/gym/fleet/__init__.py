"""A real fleet to break: 16 services in two regions as real processes, with proxy, database, cache, queue and load.

``async with Fleet(directory, otlp_endpoint) as fleet`` starts it, as an ordinary user, and ends every process of it on
exit, also when the controlling process is killed. ``python -m midwatch.gym.fleet`` does the same from a terminal.
Telemetry goes to ``otlp_endpoint`` as OTLP/HTTP, changes to its ``/v1/changes``.

What people and midwatch may know is in ``<directory>/fleet.json``; what only a scorer reads is in ``<directory>/.dark``.
"""

from __future__ import annotations

from midwatch.gym.fleet.controller import Fleet, FleetError, FleetInfo, LoadRecord
from midwatch.gym.fleet.dark import Dark, DarkError

__all__ = ["Dark", "DarkError", "Fleet", "FleetError", "FleetInfo", "LoadRecord"]
