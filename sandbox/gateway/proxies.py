"""Proxies: who may speak plain HTTP to this gateway for others, and for whom a limit counts a request."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias

from starlette.datastructures import Headers

from sandbox.errors import Denied

Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies that the settings name. Without any, a header about an address is the caller's own invention."""

    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Self:
        """From addresses and networks as the settings have them."""
        return cls(tuple(ip_network(name) for name in names))

    def caller(self, peer: str | None, headers: Headers, *, keyless: bool = False) -> str:
        """Whose request this is, as limits count: the peer, or the last hop that no proxy of ours is.

        `keyless`: a question about health, which a proxy asks for itself and this machine may ask past it.

        Raises:
            Denied: `proxy_unknown`, the peer is no named proxy; `proxy_insecure`, its caller did not come by https.
        """
        if not self.networks:
            return _place(_parsed(peer), peer)
        address = _parsed(peer)
        if keyless and address is not None and address.is_loopback:
            return _place(address, peer)
        if address is None or not self._names(address):
            raise Denied("proxy_unknown")
        if not keyless and not _secure(headers):
            raise Denied("proxy_insecure")
        return _place(self._last_stranger(address, headers), peer)

    def _names(self, address: Address) -> bool:
        return any(address in network for network in self.networks)

    def _last_stranger(self, peer: Address, headers: Headers) -> Address:
        # Each proxy writes the address it was called from at the end; what stands before the last stranger he wrote.
        hop = peer
        for text in reversed(_listed(headers, "x-forwarded-for")):
            found = _parsed(text)
            if found is None:
                return hop
            hop = found
            if not self._names(hop):
                return hop
        return hop


def _secure(headers: Headers) -> bool:
    # A proxy that adds instead of replacing passes on what its caller said of himself: every word must be https.
    said = _listed(headers, "x-forwarded-proto")
    return bool(said) and all(word.lower() == "https" for word in said)


def _listed(headers: Headers, name: str) -> list[str]:
    return [part.strip() for line in headers.getlist(name) for part in line.split(",") if part.strip()]


def _parsed(text: str | None) -> Address | None:
    """An address as proxies write it: bare, in brackets, or with a port."""
    text = (text or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _place(address: Address | None, peer: str | None) -> str:
    # One household or one rented machine holds 2^64 addresses of IPv6: they are one caller.
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address or peer or "-")
