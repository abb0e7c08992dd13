"""The policy that a simulated watch runs under: promises, one playbook per curable fault kind, every verb permitted."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from midwatch.adapters.actuators.registry import VERBS, permissions
from midwatch.gym.simulator.people import has_people, people_of
from midwatch.gym.simulator.scenario import Scenario
from midwatch.model import faults as kinds
from midwatch.model.actions import ParameterRule as Rule
from midwatch.model.actions import Playbook
from midwatch.model.people import People
from midwatch.model.policy import GuardLimits, PagePolicy, Policy
from midwatch.model.slo import Slo

_GROW: Final = {"size": Rule(signal="pool_limit", times=3.0, minimum=2, maximum=100)}

PLAYBOOKS: Final = (
    Playbook("resize-pool", (kinds.POOL_EXHAUSTED,), "resize_pool", parameters=_GROW),
    Playbook("roll-back-deploy", (kinds.BAD_DEPLOY, kinds.CRASH_LOOP), "rollback_deploy", priority=50),
    Playbook("roll-back-config", (kinds.BAD_CONFIG,), "rollback_config", priority=50),
    Playbook(
        "flag-off", (kinds.BAD_FLAG,), "set_flag", parameters={"flag": Rule(value="new-path"), "on": Rule(value=False)}
    ),
    Playbook("restart", (kinds.MEMORY_LEAK, kinds.SERVICE_DOWN, kinds.NETWORK_FAULT, kinds.ERRORS_INSIDE), "restart"),
    Playbook("scale-out", (kinds.CPU_STARVED, kinds.SLOW_SERVICE), "scale_out", parameters={"count": Rule(value=1)}),
    Playbook("drain-instance", (kinds.BAD_INSTANCE,), "drain_instance", target="instance"),
    Playbook("drain-region", (kinds.REGION_DARK,), "drain_region", target="region"),
    Playbook("rebuild-index", (kinds.SLOW_QUERY,), "rebuild_index"),
    Playbook("kill-session", (kinds.LOCK_CONTENTION,), "kill_session"),
    Playbook("bypass-cache", (kinds.CACHE_DOWN,), "bypass_cache", target="caller", parameters={"on": Rule(value=True)}),
    Playbook("free-disk", (kinds.DISK_FULL,), "free_disk"),
    Playbook("renew-certificate", (kinds.CERT_EXPIRED,), "renew_certificate"),
    Playbook("shed-load", (kinds.TRAFFIC_SURGE,), "shed_load", parameters={"ratio": Rule(value=0.3)}),
    Playbook("restart-consumer", (kinds.QUEUE_STUCK,), "restart", target="consumer"),
)


MILDER_SECONDS: Final = 60.0
"""Runs last minutes: the ten that the policy has by itself would never pass."""


def policy_of(scenario: Scenario) -> Policy:
    """Written promises for the gateway and two services, or none (they are discovered then)."""
    promised = ("service:gateway", *scenario.fleet.keys[1:3])
    slos = tuple(Slo(f"{key}-availability", key, "ratio", 0.995, owner="team-shop") for key in promised)
    slos += (Slo("gateway-latency", "service:gateway", "latency", 0.99, threshold_ms=1000.0),)
    autonomy = "auto" if scenario.mode == "auto" else "ask"
    return Policy(
        mode=scenario.mode,  # type: ignore[arg-type]
        slos=slos if scenario.written_slos else (),
        playbooks=tuple(_with_autonomy(p, autonomy) for p in PLAYBOOKS),
        verbs=dict(VERBS),
        limits=GuardLimits(permissions=permissions()),
        paging=PagePolicy(channels=("pager",), repeat_seconds=60.0),
        people=people_of(scenario) if has_people(scenario) else People(),
        milder_after_seconds=MILDER_SECONDS,
    )


def _with_autonomy(playbook: Playbook, level: str) -> Playbook:
    return replace(playbook, autonomy=level)
