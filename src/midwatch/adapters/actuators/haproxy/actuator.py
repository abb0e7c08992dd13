"""Hands on HAProxy: drains and returns servers through the runtime API (socket commands ``show servers state`` and
``set server``; HAProxy management guide, section 9.3).

A drain names a wanted state, so it is idempotent by nature, and the proxy itself says what is true. Draining the last
server of a backend that takes traffic is refused: it would turn everybody away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from midwatch.adapters.actuators.common import check
from midwatch.adapters.actuators.haproxy.manifest import VERBS
from midwatch.model.actions import Action, Outcome, VerbSpec
from midwatch.model.entity import kind_of, name_of
from midwatch.model.errors import ActuatorError, InDoubt

_OPERATIONAL_UP: Final = 2
_DRAINED_HERE: Final = 0x08  # by a command on this very server
_DRAINED: Final = 0x08 | 0x10  # ... or because the server that it tracks was
_MAINTENANCE: Final = 0x01 | 0x02 | 0x20  # forced, inherited, by DNS; 0x04 only recalls how it was configured
_SERVERS_ONLY: Final = "-1 4 -1"
_MAX_ANSWER_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class Server:
    """One server line. ``admin`` are HAProxy's administrative flags; ``follows`` that it tracks another server, whose
    state it takes over."""

    backend: str
    name: str
    admin: int
    up: bool
    follows: bool

    @property
    def drained(self) -> bool:
        return bool(self.admin & _DRAINED)

    @property
    def drained_here(self) -> bool:
        return bool(self.admin & _DRAINED_HERE)

    @property
    def in_service(self) -> bool:
        """Neither drained nor in maintenance (it may still be down)."""
        return not self.admin & (_DRAINED | _MAINTENANCE)


class HaproxyActuator:
    """``address`` is the path of the runtime socket, or ``host:port`` when it listens on TCP.

    An instance is the server of that name. A region is every server whose name holds it between dashes
    (``payment-eu-1`` lies in ``eu``), or ends with it.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def verbs(self) -> Mapping[str, VerbSpec]:
        return VERBS

    async def apply(self, action: Action) -> Outcome:
        spec = check(VERBS, action)
        try:
            async with asyncio.timeout(spec.timeout_seconds):
                return await self._apply(action)
        except TimeoutError as error:
            raise InDoubt("the proxy's runtime socket did not answer in time") from error

    async def _apply(self, action: Action) -> Outcome:
        servers = await self.servers()
        chosen = _chosen(servers, action.target)
        draining = action.verb.startswith("drain")
        if draining:
            # What is in maintenance is left there: a later undrain must not wake it.
            todo = [server for server in chosen if server.in_service and not server.follows]
            _refuse_last(servers, chosen)
        else:
            todo = [server for server in chosen if server.drained_here]
        if not todo:
            return Outcome("done", f"already {'drained' if draining else 'in service'}: {_names(chosen)}")
        state = "drain" if draining else "ready"
        for server in todo:
            said = await self._command(f"set server {server.backend}/{server.name} state {state}")
            if said.strip():
                raise ActuatorError(f"the proxy refused: {said.strip()[:200]}")
        after = await self.observe(action)
        if after.status != "done":
            raise InDoubt(f"the proxy took the command, and yet: {after.result}")
        return Outcome("done", f"{state}: {_names(todo)}")

    async def observe(self, action: Action) -> Outcome:
        check(VERBS, action)
        try:
            async with asyncio.timeout(5):
                chosen = _chosen(await self.servers(), action.target)
        except (TimeoutError, ActuatorError) as error:
            return Outcome("in_doubt", str(error) or "the proxy's runtime socket did not answer in time")
        draining = action.verb.startswith("drain")
        other = [server for server in chosen if (server.in_service if draining else server.drained)]
        if not other:
            return Outcome("done", f"{'drained' if draining else 'in service'}: {_names(chosen)}")
        return Outcome("failed", f"{'not drained' if draining else 'drained'}: {_names(other)}")

    async def servers(self) -> list[Server]:
        """Every server of every backend, as the proxy sees it now."""
        states = _table(await self._command("show servers state"), None)
        stats = _table(await self._command(f"show stat {_SERVERS_ONLY}"), ",")
        followers = {(row["pxname"], row["svname"]) for row in stats if row.get("tracked")}
        return [
            Server(
                row["be_name"],
                row["srv_name"],
                int(row["srv_admin_state"]),
                int(row["srv_op_state"]) == _OPERATIONAL_UP,
                (row["be_name"], row["srv_name"]) in followers,
            )
            for row in states
        ]

    async def _command(self, line: str) -> str:
        """One command, one answer, one connection: the runtime API closes after each."""
        if any(c in line for c in ";\n\r"):
            raise ActuatorError("a name with a separator in it is no server's name")
        try:
            if "/" in self._address:
                reader, writer = await asyncio.open_unix_connection(self._address)
            else:
                host, _, port = self._address.rpartition(":")
                reader, writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            raise ActuatorError(f"the proxy's runtime socket does not answer: {error.strerror or error}") from error
        try:
            writer.write(f"{line}\n".encode())
            await writer.drain()
            parts: list[bytes] = []
            size = 0
            while chunk := await reader.read(65536):
                size += len(chunk)
                if size > _MAX_ANSWER_BYTES:
                    raise ActuatorError("the proxy's answer is too long")
                parts.append(chunk)
        except OSError as error:
            raise InDoubt(f"the proxy's runtime socket broke: {error.strerror or error}") from error
        finally:
            writer.close()
        return b"".join(parts).decode("utf-8", "replace")


def _table(text: str, separator: str | None) -> list[dict[str, str]]:
    """Rows of an answer whose header line starts with "# "; raises ActuatorError when there is none."""
    header: list[str] = []
    found = []
    for line in text.splitlines():
        if line.startswith("# "):
            header = line[2:].split(separator)
        elif header and line.strip():
            found.append(dict(zip(header, line.split(separator), strict=False)))
    if not header:
        raise ActuatorError(f"the proxy's answer cannot be read: {text[:200]!r}")
    return found


def _chosen(servers: Sequence[Server], target: str) -> list[Server]:
    name = name_of(target)
    if kind_of(target) == "instance":
        chosen = [s for s in servers if s.name == name]
    else:
        chosen = [s for s in servers if name in s.name.split("-")[1:]]
    if not chosen:
        raise ActuatorError(f"the proxy knows no server of {target}")
    return chosen


def _refuse_last(servers: Sequence[Server], chosen: Sequence[Server]) -> None:
    gone = {(s.backend, s.name) for s in chosen}
    for backend in {s.backend for s in chosen}:
        mine = [s for s in servers if s.backend == backend]
        if not any(s.up and s.in_service and (s.backend, s.name) not in gone for s in mine):
            raise ActuatorError(f"refused: nothing else would serve {backend}")


def _names(servers: Sequence[Server]) -> str:
    names = sorted({s.name for s in servers})
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
