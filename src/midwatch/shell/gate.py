"""How people get in: what a page needs to know of tokens, of a provider and of a proxy that signs people in."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from midwatch.shell.access import Access
from midwatch.shell.access_settings import AccessSettings
from midwatch.shell.config import resolve
from midwatch.shell.setting_kinds import NOBODY

if TYPE_CHECKING:
    from midwatch.shell.oidc import Oidc

MAX_NAME = 80


class Gate:
    """``signed_in`` (who, how, role) and ``refused`` (who, what, why) go to the audit."""

    def __init__(
        self,
        settings: AccessSettings,
        access: Access | None = None,
        *,
        signed_in: Callable[[str, str, str], None] = lambda _by, _how, _role: None,
        refused: Callable[[str, str, str], None] = lambda _by, _what, _why: None,
    ) -> None:
        self.access = access or Access(settings)
        self.settings = settings
        self.signed_in, self.refused = signed_in, refused
        self.oidc: Oidc | None = None
        addresses = settings.proxy.addresses if settings.proxy else ()
        self._trusted = [ipaddress.ip_network(one, strict=False) for one in addresses]
        if settings.oidc is not None:
            from midwatch.shell.oidc import Oidc

            self.oidc = Oidc(settings.oidc)

    @property
    def signs_in(self) -> bool:
        """Whether people sign in otherwise than with a token."""
        return self.oidc is not None or bool(self.settings.proxy and self.settings.proxy.user)

    def key_material(self) -> str:
        """What sessions are signed with, besides tokens: it changes when the provider's secret does. Raises ConfigError."""
        oidc = self.settings.oidc
        return resolve(oidc.client_secret) if oidc is not None and oidc.client_secret else ""

    def trusts(self, peer: str) -> bool:
        """Whether what headers say of the sender is believed from this address."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address  # a socket that takes both families names IPv4 so
        return any(address in network or plain in network for network in self._trusted)

    def proxied(self, peer: str, headers: Mapping[str, str]) -> tuple[str, tuple[str, ...]] | None:
        """Whom the proxy has signed in, and their groups; None when it says nobody, or is not the proxy."""
        proxy = self.settings.proxy
        if proxy is None or not proxy.user or not self.trusts(peer):
            return None
        name = headers.get(proxy.user.lower(), "").strip()
        if not self.admits(name):
            return None
        said = headers.get(proxy.groups.lower(), "") if proxy.groups else ""
        return name, tuple(one.strip() for one in said.split(",") if one.strip())

    def admits(self, name: str) -> bool:
        """Whether a person can be called so: who has a program's name would have its role."""
        taken = name in self.settings.machines or name in NOBODY
        return 0 < len(name) <= MAX_NAME and name.isprintable() and not taken

    def encrypted(self, peer: str, scheme: str, headers: Mapping[str, str]) -> bool:
        """Whether the browser's own connection is encrypted, the last step behind a proxy aside."""
        return scheme == "https" or (self.trusts(peer) and headers.get("x-forwarded-proto", "") == "https")

    def of_use(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        """Those that give anything."""
        known: set[str] = set()
        for giver in (self.settings.oidc, self.settings.proxy):
            known.update(giver.roles if giver is not None else ())
        return tuple(sorted(known.intersection(groups)))
