"""Where the act under way comes from: which request, which address, which client."""

from collections.abc import Sequence
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Origin(NamedTuple):
    """Of a request, or of a command or job, which has no address."""

    request_id: str | None = None
    address: str | None = None
    user_agent: str | None = None


origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039, frozen


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> str | None:
    """The address of the client, as far as trusted proxies vouch for it.

    `forwarded_for` holds the values of the `X-Forwarded-For` headers in their order.
    They are walked from the right: each address is believed only if the one that told
    of it is a trusted proxy, so what a client writes into the header itself changes
    nothing.
    """
    address = _parse(peer or "")
    if address is None or not trusted:
        return peer
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and any(address in network for network in trusted):
        claimed = _parse(hops.pop().strip())
        if claimed is None:
            break
        address = claimed
    return str(address)


def client_block() -> str:
    """What limits count the client of the act under way as."""
    return address_block(origin.get().address)


def address_block(address: str | None) -> str:
    """What limits count as one client: an IPv4 address, or an IPv6 network of /64.

    Whoever has one IPv6 address has the 2**64 of its network.
    """
    parsed = _parse(address or "")
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """An address, also as proxies write it: with a port, or in brackets.

    Without its zone (`%eth0`), which is ours, of any length, and nobody's name.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
