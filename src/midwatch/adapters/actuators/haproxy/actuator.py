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
_ADMIN_OUT: Final = 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20  # maintenance (forced, inherited, config, DNS) or drain
_MAX_ANSWER_BYTES: Final = 4 << 20


@dataclass(frozen=True)
class Server:
    """One server line. ``takes_traffic``: it is up and neither drained nor in maintenance."""

    backend: str
    name: str
    out: bool
    up: bool

    @property
    def takes_traffic(self) -> bool:
        return self.up and not self.out


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
            _refuse_last(servers, chosen)
        todo = [server for server in chosen if server.out != draining]
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
        other = [server for server in chosen if server.out != draining]
        if not other:
            return Outcome("done", f"{'drained' if draining else 'in service'}: {_names(chosen)}")
        return Outcome("failed", f"{'not drained' if draining else 'out of service'}: {_names(other)}")

    async def servers(self) -> list[Server]:
        """Every server of every backend, as the proxy sees it now."""
        lines = (await self._command("show servers state")).splitlines()
        header: list[str] = []
        found = []
        for line in lines:
            if line.startswith("# "):
                header = line[2:].split()
            elif header and line.strip():
                row = dict(zip(header, line.split(), strict=False))
                found.append(
                    Server(
                        row["be_name"],
                        row["srv_name"],
                        bool(int(row["srv_admin_state"]) & _ADMIN_OUT),
                        int(row["srv_op_state"]) == _OPERATIONAL_UP,
                    )
                )
        if not header:
            raise ActuatorError(f"the proxy's answer cannot be read: {' '.join(lines)[:200]}")
        return found

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
        if not any(s.takes_traffic and (s.backend, s.name) not in gone for s in mine):
            raise ActuatorError(f"refused: nothing else would serve {backend}")


def _names(servers: Sequence[Server]) -> str:
    names = sorted({s.name for s in servers})
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
