"""Settings that a service can be given: moves that nobody feels, and moves that break it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

Options = list[dict[str, Any]]


def harmless_config(rng: Random) -> str:
    """A small move of one setting, as JSON."""
    options: Options = [
        {"cache_ttl_s": rng.randrange(25, 45)},
        {"queue_limit": rng.randrange(60, 90)},
        {"pool_timeout_ms": rng.randrange(950, 1300, 50)},
        {"statement_timeout_ms": rng.randrange(1450, 1900, 50)},
        {"page_size": rng.randrange(11, 14)},
    ]
    return json.dumps(rng.choice(options))


def harmful_configs(rng: Random, what: Mapping[str, Any]) -> Options:
    """Moves that break a service of the kind ``what``: each is a mistake that people make."""
    options: Options = []
    for callee in what.get("calls", ()):
        # A host name that was retired, or that never was.
        options.append({f"upstream_{callee}": f"{callee}-{rng.choice(('old', 'v2', 'canary', 'internal'))}"})
    if what.get("calls"):
        # Seconds taken for milliseconds.
        options.append({"request_timeout_ms": rng.choice((1, 2, 3))})
    # Somebody meant "as many as needed".
    options.append({"workers": 0})
    return options
