"""What the deploy platform lets midwatch do."""

from __future__ import annotations

from typing import Final

from midwatch.adapters.actuators.common import by_verb
from midwatch.model.actions import ParameterSpec, VerbSpec

_VERSION: Final = ParameterSpec("str", description="the version to run")
_CONFIG: Final = ParameterSpec("str", description="the configuration to run with, or the id of a stored one")
_COUNT: Final = ParameterSpec("int", required=False, minimum=1, maximum=2, description="instances per region")
_ON: Final = ParameterSpec("bool", description="on or off")

VERBS: Final = by_verb(
    VerbSpec(
        "resize_pool",
        "set the size of a service's connection pool",
        "reversible",
        ("platform.pool",),
        ("service",),
        {"size": ParameterSpec("int", minimum=1, maximum=50, description="connections per instance")},
        undo="resize_pool",
    ),
    VerbSpec(
        "restart",
        "restart a service or a cache, one instance after the other, or one instance",
        "transient",
        ("platform.restart",),
        ("service", "instance", "cache"),
        blast_radius=2,
        cost_seconds=5.0,
        timeout_seconds=15.0,
    ),
    VerbSpec(
        "rollback_deploy",
        "run the version that ran before the last deploy",
        "reversible",
        ("platform.deploy",),
        ("service",),
        undo="deploy",
        cost_seconds=5.0,
        timeout_seconds=15.0,
    ),
    VerbSpec(
        "deploy",
        "run a given version",
        "reversible",
        ("platform.deploy",),
        ("service",),
        {"version": _VERSION},
        undo="rollback_deploy",
        cost_seconds=5.0,
        timeout_seconds=15.0,
        promoting=True,
    ),
    VerbSpec(
        "rollback_config",
        "run with the configuration that held before the last change",
        "reversible",
        ("platform.config",),
        ("service",),
        undo="apply_config",
        cost_seconds=2.0,
    ),
    VerbSpec(
        "apply_config",
        "run with a given configuration",
        "reversible",
        ("platform.config",),
        ("service",),
        {"config": _CONFIG},
        undo="rollback_config",
        cost_seconds=2.0,
        promoting=True,
    ),
    VerbSpec(
        "set_flag",
        "turn a feature flag on or off",
        "reversible",
        ("platform.flag",),
        ("service",),
        {"flag": ParameterSpec("str", description="the flag's name"), "on": _ON},
        undo="set_flag",
    ),
    VerbSpec(
        "scale_out",
        "add instances in every region",
        "reversible",
        ("platform.scale",),
        ("service",),
        {"count": _COUNT},
        undo="scale_in",
        timeout_seconds=15.0,
    ),
    VerbSpec(
        "scale_in",
        "remove instances that were added, in every region",
        "reversible",
        ("platform.scale",),
        ("service",),
        {"count": _COUNT},
        undo="scale_out",
        cost_seconds=2.0,
        timeout_seconds=15.0,
    ),
    VerbSpec(
        "shed_load",
        "answer a share of the requests with 503 at once, so that the others are served",
        "reversible",
        ("platform.shed",),
        ("service",),
        {"ratio": ParameterSpec("float", minimum=0.05, maximum=0.9, description="share of requests turned away")},
        undo="unshed_load",
    ),
    VerbSpec(
        "unshed_load",
        "serve every request again",
        "reversible",
        ("platform.shed",),
        ("service",),
        undo="shed_load",
    ),
    VerbSpec(
        "renew_certificate",
        "issue and serve a new certificate",
        "transient",
        ("platform.certificate",),
        ("service", "proxy"),
        cost_seconds=1.0,
        timeout_seconds=15.0,
    ),
    VerbSpec(
        "bypass_cache",
        "read from the database instead of the cache (on), or from the cache again (off)",
        "reversible",
        ("platform.cache",),
        ("service",),
        {"on": _ON},
        undo="bypass_cache",
    ),
    VerbSpec(
        "free_disk",
        "give back what fills a database's volume and nobody needs: expired archives, old dumps",
        "transient",
        ("platform.volume",),
        ("database",),
        cost_seconds=2.0,
        timeout_seconds=15.0,
    ),
)
