"""What HAProxy's runtime API lets midwatch do."""

from __future__ import annotations

from typing import Final

from midwatch.adapters.actuators.common import by_verb
from midwatch.model.actions import VerbSpec

VERBS: Final = by_verb(
    VerbSpec(
        "drain_instance",
        "send no new requests to one instance; those under way end normally",
        "reversible",
        ("haproxy.drain",),
        ("instance",),
        undo="undrain_instance",
    ),
    VerbSpec(
        "undrain_instance",
        "send requests to an instance again",
        "reversible",
        ("haproxy.drain",),
        ("instance",),
        undo="drain_instance",
    ),
    VerbSpec(
        "drain_region",
        "send no new requests to any instance of a region; the other regions take its traffic",
        "reversible",
        ("haproxy.drain",),
        ("region",),
        undo="undrain_region",
        blast_radius=2,  # the region that is left, and the one that carries its traffic from now on
    ),
    VerbSpec(
        "undrain_region",
        "send requests to a region again",
        "reversible",
        ("haproxy.drain",),
        ("region",),
        undo="drain_region",
        blast_radius=2,
    ),
)
