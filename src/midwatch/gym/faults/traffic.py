"""How much of the users' traffic each service sees: what decides whether a shortage there is felt."""

from __future__ import annotations

from typing import Final

SHARE: Final[dict[str, float]] = {
    "gateway": 1.0,
    "catalog": 1.2,
    "pricing": 0.95,
    "storefront": 0.53,
    "recommend": 0.53,
    "review": 0.53,
    "inventory": 0.40,
    "user": 0.36,
    "cart": 0.24,
    "order": 0.21,
    "notification": 0.21,
    "search": 0.17,
    "checkout": 0.15,
    "payment": 0.15,
    "fraud": 0.15,
    "shipping": 0.15,
}
"""Requests per request of a user, by the mix of journeys and the call graph."""
BUSY: Final = frozenset(name for name, share in SHARE.items() if share >= 0.2)
"""Services that see at least a fifth of all requests."""
USER_RATE: Final = 25.0
"""Requests of users per second that strengths are drawn for."""
