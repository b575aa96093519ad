"""Which addresses a webhook may be sent to."""

from __future__ import annotations

import ipaddress
import socket

from metrics.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200")
)
"""Where clouds hand credentials to whoever asks from inside."""


class AddressRefusedError(InputError):
    """The host has an address that must not be called."""


def resolve(host: str, port: int, *, allow_private: bool) -> str:
    """Return one address of a host, after every address of it was checked; callers connect to this one and no other.

    Raises:
        AddressRefusedError: one of the addresses is private (and that was not allowed), or never to be called.
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for text in addresses:
        why = refusal(text, allow_private=allow_private)
        if why is not None:
            raise AddressRefusedError(f"{host} has the address {text}, which is {why}")
    return addresses[0]


def refusal(text: str, *, allow_private: bool) -> str | None:
    """Why an address is not called; None where it may be."""
    address = ipaddress.ip_address(text.partition("%")[0])
    for inner in (address, *_within(address)):
        if inner in _METADATA or inner.is_link_local:
            return "link-local: clouds hand out credentials there"
        if inner.is_multicast or inner.is_unspecified:
            return "no address of one host"
        if not allow_private and not inner.is_global:
            return "private; allow it with --allow-private if the host is one of yours"
        if inner.is_reserved and inner not in _NAT64 and not inner.is_loopback:
            return "reserved"
    return None


def _within(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address] = [part for part in (address.ipv4_mapped, address.sixtofour) if part is not None]
    found += address.teredo or ()
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found
