"""Every fault and control, in one visible list, and how a case is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from msgspec import Struct

from midwatch.gym.faults import background
from midwatch.gym.faults.bad_config import BadConfig
from midwatch.gym.faults.bad_deploy import BadDeployErrors, BadDeployLatency
from midwatch.gym.faults.bad_flag import BadFlag
from midwatch.gym.faults.bad_instance import BadInstance
from midwatch.gym.faults.base import Fault, Map
from midwatch.gym.faults.cache_down import CacheDown
from midwatch.gym.faults.cert_expired import CertExpired
from midwatch.gym.faults.controls import BatchJob, DoubledTraffic, GoodDeploy
from midwatch.gym.faults.cpu_starved import CpuStarved
from midwatch.gym.faults.crash_loop import CrashLoop
from midwatch.gym.faults.disk_full import DiskFull
from midwatch.gym.faults.lock_contention import LockContention
from midwatch.gym.faults.memory_leak import MemoryLeak
from midwatch.gym.faults.network_fault import NetworkFault
from midwatch.gym.faults.pool_exhausted import PoolExhausted
from midwatch.gym.faults.queue_stuck import QueueStuck
from midwatch.gym.faults.region_dark import RegionDark
from midwatch.gym.faults.slow_query import SlowQuery
from midwatch.gym.faults.slow_service import SlowService
from midwatch.gym.faults.traffic_surge import TrafficSurge
from midwatch.gym.faults.truth import Truth
from midwatch.model.entity import is_edge, kind_of, name_of, split_edge

FAULTS: Final[tuple[Fault, ...]] = (
    PoolExhausted(),
    SlowService(),
    BadDeployErrors(),
    BadDeployLatency(),
    BadConfig(),
    BadFlag(),
    MemoryLeak(),
    CpuStarved(),
    CrashLoop(),
    BadInstance(),
    RegionDark(),
    SlowQuery(),
    LockContention(),
    CacheDown(),
    NetworkFault(),
    DiskFull(),
    CertExpired(),
    TrafficSurge(),
    QueueStuck(),
)
CONTROLS: Final[tuple[Fault, ...]] = (DoubledTraffic(), GoodDeploy(), BatchJob())
BY_NAME: Final[Mapping[str, Fault]] = {fault.name: fault for fault in (*FAULTS, *CONTROLS)}


class Case(Struct, frozen=True):
    """One drawn case: the truth, what else goes on, and how long it is normal before the injection."""

    seed: int
    number: int
    truth: Truth
    routines: tuple[background.Routine, ...] = ()
    normal_seconds: float = 75.0

    @property
    def name(self) -> str:
        return f"{self.truth.fault}-{self.seed}-{self.number}"


def named(name: str) -> Fault:
    """The fault of that name; raises LookupError with the names that there are."""
    try:
        return BY_NAME[name]
    except KeyError:
        raise LookupError(f"no fault {name!r}; there are: {', '.join(BY_NAME)}") from None


def draw_case(
    seed: int,
    number: int,
    fault: Fault,
    fleet: Map,
    *,
    entity: str | None = None,
    normal_seconds: tuple[float, float] = (65.0, 110.0),
    watch_seconds: float = 300.0,
) -> Case:
    """The case that ``seed`` and ``number`` mean for ``fault`` on ``fleet``: always the same one."""
    rng = Random(f"midwatch {seed} {fault.name} {number}")
    truth = fault.draw(rng, fleet, entity)
    normal = round(rng.uniform(*normal_seconds), 1)
    routines = background.draw(
        rng, fleet, normal_seconds=normal, watch_seconds=watch_seconds, spare=tuple(touched(truth, fleet))
    )
    return Case(seed, number, truth, routines, normal)


def touched(truth: Truth, fleet: Map) -> set[str]:
    """Services whose restart by a routine change would lift (or blur) the fault."""
    named_ends = split_edge(truth.entity) if is_edge(truth.entity) else (truth.entity, *truth.aliases, *truth.by_kind)
    return {name_of(key) for key in named_ends if kind_of(key) == "service"} & set(fleet.services)
