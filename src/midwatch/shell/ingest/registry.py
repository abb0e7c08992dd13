"""Who reports: services, instances and what they call, with their bounds.

A ``Reporter`` is one (service, instance) pair. The registry makes entities and edges on first sight, infers deploys from
new versions and restarts from younger processes, and remembers which bounds were reached.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field

from midwatch.model import signals as sig
from midwatch.model.entity import Edge, Entity, edge_key, kind_of, name_of
from midwatch.model.world import Change, Gap
from midwatch.shell.ingest.ring import ANYONE, Ring
from midwatch.shell.ingest.rows import Limits, Resource

_SAME_CHANGE_SECONDS = 120.0
_STARTED_TOLERANCE_SECONDS = 2.0
_SAME_RESTART_SECONDS = 30.0
_REMEMBERED_SECONDS = 3600.0  # longer than incidents take in what is connected: who called whom is known until then


@dataclass(slots=True)
class Reporter:
    """``entity`` is the key of the service (database, cache, ...), ``instance``, ``region`` and ``host`` keys may be "". The
    owners are numbers in the ring. ``heard_at`` is the arrival of its newest payload."""

    entity: str
    instance: str
    region: str
    service_owner: int
    instance_owner: int
    service: ServiceState
    version: str = ""
    host: str = ""
    first_at: float = 0.0
    heard_at: float = 0.0
    started_at: float = 0.0
    restart_source: str = ""
    restarted_at: float = 0.0


@dataclass(slots=True)
class ServiceState:
    """What is remembered per service."""

    name: str
    first_at: float
    versions: dict[str, float] = field(default_factory=dict)  # version -> seen last
    instances: dict[str, Reporter] = field(default_factory=dict)
    endpoints: set[str] = field(default_factory=set)
    callees: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    complains: bool = False  # it has logged a warning or an error
    spans_at: float = 0.0  # newest server or consumer span
    heard_at: float = 0.0


class Registry:
    """Entities, edges, changes and gaps of one World. ``counters`` count what was refused."""

    def __init__(self, ring: Ring, limits: Limits) -> None:
        self._ring, self._limits = ring, limits
        self.entities: dict[str, Entity] = {}
        self.edges: dict[str, Edge] = {}
        self.services: dict[str, ServiceState] = {}
        self.by_name: dict[
            str, str
        ] = {}  # name -> key of a reporting entity; stores apart, for many are called as their owner
        self.stores_by_name: dict[str, str] = {}
        self.called: set[str] = set()  # services that other services call
        self.changes: deque[Change] = deque(maxlen=limits.changes)
        self.bounds: dict[tuple[str, str], float] = {}
        self.counters: dict[str, int] = {}
        self._reporters: dict[tuple[str, str, str], Reporter] = {}
        self._places: dict[str, tuple[int, Reporter]] = {}  # pod or container -> who knows best what runs in it
        self._shared: set[str] = set()  # places in which processes of several services run: a pod with a sidecar
        self._gone: dict[str, float] = {}  # services that were forgotten -> heard last

    def count(self, reason: str, by: int = 1) -> None:
        self.counters[reason] = self.counters.get(reason, 0) + by

    def over(self, subject: str, what: str, at: float) -> None:
        """A bound was reached: ``what`` of ``subject`` is no longer told apart."""
        self.count(f"over_{what.replace(' ', '_')}")
        self.bounds.setdefault((subject, what), at)

    # --- reporters ----------------------------------------------------------------------------------------------------

    def reporter(self, resource: Resource, at: float) -> Reporter | None:
        """Who sent this resource block at ``at``; None when there are too many services."""
        key = (resource.kind, resource.service, resource.instance)
        found = self._reporters.get(key)
        if resource.knows_itself < 2:
            lodged = self._lodged(resource)
            if lodged is not None:
                return lodged
        if found is None:
            found = self._new(resource, at)
            if found is None:
                return None
        elif resource.version and resource.version != found.version:
            self._version(found, resource.version, at)
            if found.instance:
                self._label(found, resource)
        elif resource.version:
            found.service.versions[resource.version] = at
        return found

    def _lodged(self, resource: Resource) -> Reporter | None:
        """Who is known to run in the pod or container that ``resource`` speaks of, when it knows that less well itself: what
        a container runtime says, and lines read from a container's log, belong to the process inside."""
        for place in resource.spoken_of:
            known, holder = self._places.get(place, (0, None))
            if holder is not None and known > resource.knows_itself and place not in self._shared:
                return holder if not resource.knows_itself or holder.service.name == resource.service else None
        return None

    def _lodge(self, resource: Resource, reporter: Reporter) -> None:
        """Remember who runs in a place. Who was taken for it before, on the word of others, is nobody."""
        for place in resource.places:
            known, holder = self._places.get(place, (0, None))
            if holder is not None and known and resource.knows_itself and holder.entity != reporter.entity:
                self._shared.add(place)
            if known <= resource.knows_itself:
                self._places[place] = resource.knows_itself, reporter
            if (
                holder is not None
                and known < resource.knows_itself
                and (not known or holder.service is reporter.service)
            ):
                self._dismiss(holder)

    def _dismiss(self, nobody: Reporter) -> None:
        nobody.service.instances.pop(nobody.instance, None)
        self.entities.pop(nobody.instance, None)
        if not nobody.service.instances and not nobody.service.spans_at:
            self.services.pop(nobody.entity, None)
            self._names(nobody.entity).pop(nobody.service.name, None)
            self.entities.pop(nobody.entity, None)

    def _names(self, entity: str) -> dict[str, str]:
        return self.stores_by_name if kind_of(entity) in ("database", "cache") else self.by_name

    def known(self, resource: Resource) -> Reporter | None:
        """The reporter of a resource that was heard before, None when it was forgotten. Changes nothing."""
        return self._reporters.get((resource.kind, resource.service, resource.instance))

    def _new(self, resource: Resource, at: float) -> Reporter | None:
        entity = resource.entity
        service = self.services.get(entity)
        if service is None:
            if len(self.services) >= self._limits.services:
                self.over("telemetry", "services", at)
                return None
            service = self.services[entity] = ServiceState(resource.service, at)
            self._gone.pop(entity, None)
            self._names(entity)[resource.service] = entity
            self.ensure(entity)
        instance = f"instance:{resource.instance}" if resource.kind == "service" else ""
        nameless = f"instance:{resource.service}"
        if instance == nameless and service.instances:
            instance = ""  # said of the service as a whole, by a connector for instance: no instance beside the others
        elif instance and nameless in service.instances:
            whole = service.instances.pop(nameless)
            self.entities.pop(nameless, None)
            whole.instance, whole.instance_owner = "", whole.service_owner
        if (
            instance
            and instance not in service.instances
            and len(service.instances) >= self._limits.instances_per_service
        ):
            self.over(entity, "instances", at)
            instance = ""
        region = f"region:{resource.region}" if resource.region else ""
        if region:
            self.ensure(region)
        host = f"host:{resource.host}" if resource.host and resource.kind != "host" else ""
        if host:
            self.ensure(host)
        reporter = Reporter(
            entity,
            instance,
            region,
            self._ring.owner(entity),
            self._ring.owner(instance or entity),
            service,
            host=host,
            first_at=at,
            heard_at=at,
        )
        if len(self._reporters) >= 4 * self._limits.services * 16:
            self._reporters.clear()
        self._reporters[resource.kind, resource.service, resource.instance] = reporter
        if instance:
            self._lodge(resource, reporter)
            # A new name where an older process of the same place just fell silent is that process started again.
            lost = any(
                other.region == region and self._patience(other) < at - other.heard_at < 120.0
                for other in service.instances.values()
            )
            service.instances[instance] = reporter
            self._restart_rows(reporter)
            if lost:
                self.restarted(reporter, at)
        if resource.version:
            self._version(reporter, resource.version, at)
        if instance:
            self._label(reporter, resource)
        return reporter

    def _patience(self, reporter: Reporter) -> float:
        """Seconds after which ``reporter`` is silent, by how often it reports."""
        return max(5.0, self._ring.gap_steps[reporter.instance_owner] * self._ring.step_seconds)

    def _label(self, reporter: Reporter, resource: Resource) -> None:
        labels = {
            "service": resource.service,
            "region": resource.region,
            "version": resource.version or reporter.version,
            "host": resource.host,
            "zone": str(resource.attributes.get("cloud.availability_zone") or ""),
        }
        shown = {name: value for name, value in labels.items() if value}
        self.entities[reporter.instance] = Entity("instance", name_of(reporter.instance), shown)
        version = {"version": reporter.version} if reporter.version else {}
        self.entities[reporter.entity] = Entity(kind_of(reporter.entity), name_of(reporter.entity), version)

    def _version(self, reporter: Reporter, version: str, at: float) -> None:
        service, before = reporter.service, reporter.version
        reporter.version = version
        known = version in service.versions
        # Two processes that share a name, or batches out of order: what still reports has not come back.
        beside = known and at - service.versions[version] < _SAME_CHANGE_SECONDS
        newest = max(service.versions, key=lambda v: service.versions[v], default="")
        service.versions[version] = at
        if (before and not beside) or (newest and not known):
            self._seen_deploy(reporter.entity, before or newest, version, at)
        if len(service.versions) > 50:
            del service.versions[min(service.versions, key=lambda v: service.versions[v])]

    def _seen_deploy(self, entity: str, before: str, after: str, at: float) -> None:
        for change in self.changes:
            if change.entity == entity and change.after == after and abs(change.at - at) < _SAME_CHANGE_SECONDS:
                return
        summary = f"version {after} of {name_of(entity)} reports where {before} did"
        identity = f"seen-{name_of(entity)}-{after}-{int(at)}"
        self.changes.append(Change(identity, at, "deploy", entity, summary, before, after, source="seen"))

    def started(self, reporter: Reporter, started_at: float, at: float) -> None:
        """The process behind ``reporter`` says when it started; a later start than known is a restart."""
        if reporter.started_at and started_at > reporter.started_at + _STARTED_TOLERANCE_SECONDS:
            self.restarted(reporter, at)
        if started_at > reporter.started_at:
            reporter.started_at = started_at

    def _restart_rows(self, reporter: Reporter) -> tuple[int, int]:
        # Whoever tells of a restart, it counts, even while the process itself is silent.
        return (
            self._ring.row(reporter.entity, sig.RESTARTS, ANYONE),
            self._ring.row(reporter.instance or reporter.entity, sig.RESTARTS, ANYONE),
        )

    def restarted(self, reporter: Reporter, at: float, count: float = 1.0, source: str = "process") -> None:
        """Count a restart once, though the process and what runs it may both tell of it."""
        if source != reporter.restart_source and at - reporter.restarted_at < _SAME_RESTART_SECONDS:
            return
        reporter.restart_source, reporter.restarted_at = source, at
        column = self._ring.column(at)
        if column >= 0:
            for row in set(self._restart_rows(reporter)):
                self._ring.values[row, column] += count

    # --- entities and edges -------------------------------------------------------------------------------------------

    def ensure(self, key: str) -> str:
        """Make sure that the entity ``key`` exists."""
        if key not in self.entities:
            self.entities[key] = Entity(kind_of(key), name_of(key))
        return key

    def edge(self, caller: str, callee: str) -> str:
        """The key of the edge from ``caller`` to ``callee``, made on first sight."""
        key = edge_key(caller, callee)
        if key not in self.edges:
            self.ensure(caller)
            self.ensure(callee)
            self.edges[key] = Edge(caller, callee)
            if kind_of(caller) == "service" and caller != callee:
                self.called.add(callee)
        return key

    def owner_of(self, entity: str) -> int:
        """The ring's owner for sums about ``entity``: itself where it reports, else anyone."""
        return self._ring.owners.get(entity, ANYONE)

    def gaps(self, now: float, silent_after: float) -> list[Gap]:
        """What cannot be told at ``now``: services that fell silent, bounds that were reached."""
        found = [
            Gap(subject, since, f"too many {what}: the newer ones are not told apart")
            for (subject, what), since in self.bounds.items()
        ]
        for key, service in self.services.items():
            owner = self._ring.owner(key)
            patience = max(silent_after, self._ring.hold(owner) * self._ring.step_seconds)
            if now - service.heard_at > patience:
                found.append(Gap(key, service.heard_at, f"{service.name} used to report and nothing arrives any more"))
        return found

    def forget(self, before_at: float) -> None:
        """Drop instances and services that were not heard since ``before_at``."""
        for entity, service in list(self.services.items()):
            for instance, reporter in list(service.instances.items()):
                if reporter.heard_at < before_at:
                    del service.instances[instance]
                    self.entities.pop(instance, None)
            if service.heard_at < before_at:
                del self.services[entity]
                self._names(entity).pop(service.name, None)
                self._gone[entity] = service.heard_at
        self._reporters = {k: r for k, r in self._reporters.items() if r.heard_at >= before_at}
        self._places = {k: held for k, held in self._places.items() if held[1].heard_at >= before_at}
        self._shared &= self._places.keys()
        self.bounds = {k: at for k, at in self.bounds.items() if at >= before_at or k[0] in self.services}

    @property
    def owners(self) -> set[int]:
        """The ring's owners that reporters hold."""
        reporters = [*self._reporters.values(), *(r for s in self.services.values() for r in s.instances.values())]
        reporters += [reporter for _, reporter in self._places.values()]
        return {owner for r in reporters for owner in (r.service_owner, r.instance_owner)}

    def forget_map(self, before_at: float, shown: Container[str]) -> None:
        """Drop what is on the map for the sake of services that were forgotten a while ago: what they called, and where they
        ran. What has series (``shown``) stays, and so does whom somebody still calls."""
        over = {entity for entity, heard_at in self._gone.items() if heard_at < before_at - _REMEMBERED_SECONDS}
        self._gone = {entity: heard_at for entity, heard_at in self._gone.items() if entity not in over}
        # A queue reports nothing itself: that it is read goes with its reader.
        self.edges = {
            key: edge
            for key, edge in self.edges.items()
            if edge.caller not in over and not (edge.callee in over and kind_of(edge.caller) == "queue")
        }
        calls = ((edge.caller, edge.callee) for edge in self.edges.values() if kind_of(edge.caller) == "service")
        self.called = {callee for caller, callee in calls if caller != callee}
        kept = {end for edge in self.edges.values() for end in (edge.caller, edge.callee)}
        kept |= self.services.keys() | self._gone.keys()
        kept.update(*(service.instances for service in self.services.values()))
        kept.update(*((reporter.region, reporter.host) for reporter in self._reporters.values()))
        self.entities = {key: entity for key, entity in self.entities.items() if key in kept or key in shown}
