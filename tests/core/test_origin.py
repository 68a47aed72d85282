"""The client's address, behind trusted and untrusted proxies."""

from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.core.origin import address_block, client_address

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("9.9.9.9", [], "9.9.9.9"),
        ("9.9.9.9", ["1.1.1.1"], "9.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1, 10.2.2.2"], "1.1.1.1"),
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, nonsense, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["1.1.1.1:4711"], "1.1.1.1"),
        ("10.0.0.1", ["[2001:dead::1]:443"], "2001:dead::1"),
        ("::ffff:10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("2001:db8::1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["fe80::1%" + "x" * 200], "fe80::1"),
        ("10.0.0.1", ["1.1.1.1, 10.2.2.2:80, "], "10.0.0.1"),
        ("10.0.0.1", ["::ffff:6.6.6.6"], "6.6.6.6"),
        (None, ["1.1.1.1"], None),
        ("a-socket", ["1.1.1.1"], "a-socket"),
    ],
)
def test_only_addresses_added_by_trusted_proxies_count(
    peer: str | None, forwarded_for: list[str], expected: str | None
) -> None:
    assert client_address(peer, forwarded_for, TRUSTED) == expected


@given(st.lists(st.text(max_size=40), max_size=5))
def test_the_header_of_an_untrusted_peer_is_ignored(forwarded_for: list[str]) -> None:
    assert client_address("9.9.9.9", forwarded_for, TRUSTED) == "9.9.9.9"


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_header_gives_an_address_that_fits_its_column(
    forwarded_for: list[str],
) -> None:
    address = client_address("10.0.0.1", forwarded_for, TRUSTED)

    assert address
    assert len(address) <= 45


@given(st.lists(st.ip_addresses().map(str), max_size=5), st.ip_addresses(v=4))
def test_addresses_before_an_untrusted_hop_are_ignored(
    forged: list[str], client: IPv4Address
) -> None:
    hops = ", ".join([*forged, str(client), "10.2.2.2"])

    address = client_address("10.0.0.1", [hops], TRUSTED)

    assert address == str(client) or client in TRUSTED[0]


def test_an_ipv6_client_counts_as_its_network() -> None:
    assert address_block("2001:db8:1:2:3::4") == address_block("2001:db8:1:2::9")
    assert address_block("2001:db8:1:2::") != address_block("2001:db8:1:3::")
    assert address_block("1.1.1.1") != address_block("1.1.1.2")
    assert address_block("::ffff:1.1.1.1") == address_block("1.1.1.1")
