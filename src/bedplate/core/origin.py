"""The origin of the current request or job: its id, client address and user agent."""

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
    """The origin of a request. Commands and jobs have no address."""

    request_id: str | None = None
    address: str | None = None
    user_agent: str | None = None


origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039, frozen


def client_address(
    peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> str | None:
    """Return the client's address, using headers of trusted proxies only.

    `forwarded_for` holds the values of the `X-Forwarded-For` headers in their order.
    They are read from the right. An address counts only if the address to its right,
    which added it, is a trusted proxy. So an address that a client writes into the
    header itself is ignored.
    """
    address = _parse(peer or "")
    if address is None or not trusted:
        return peer
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and any(address in network for network in trusted):
        previous = _parse(hops.pop().strip())
        if previous is None:
            break
        address = previous
    return str(address)


def client_block() -> str:
    """Return the address block that limits count the current client as."""
    return address_block(origin.get().address)


def address_block(address: str | None) -> str:
    """Return what limits count as one client: an IPv4 address or an IPv6 /64 network.

    A client with one IPv6 address usually has the 2**64 addresses of its network.
    """
    parsed = _parse(address or "")
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """Return an address. Proxies may write it with a port or in brackets.

    The zone (`%eth0`) is removed: it has a meaning on one host only, and can be long.
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
