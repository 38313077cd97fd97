"""Web servers as documents come from them: one plain answer each, from an address that the operator meant."""

import ipaddress
import socket
from typing import Any, Final

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from core.errors import RejectedInput, TransientFailure

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOOPBACK: Final = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


async def session(seconds: float, networks: tuple[Network, ...], **_: Any) -> aiohttp.ClientSession:
    """A session that takes nothing from its surroundings and follows nobody: no proxies, no cookies, no answers that
    would have to be inflated, and no names that lead where they should not.

    `seconds` is for a whole answer, however slowly it trickles. The addresses that were checked are those that are
    connected to, as no name is looked up twice. Requests raise as `fetch` does; TimeoutError; aiohttp.ClientError.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=_Resolver(networks), use_dns_cache=False),
        timeout=aiohttp.ClientTimeout(total=seconds),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        raise_for_status=_check,
    )


def is_allowed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether a name may lead to this address: one of the public Internet, or of `networks`."""
    meant = _meant(ipaddress.ip_address(address.partition("%")[0]))
    if any(meant in network for network in networks):
        return True
    return meant.is_global and not (meant.is_multicast or meant.is_reserved)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (RFC 4291, 3056, 4380, 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


class _Resolver(ThreadedResolver):
    """Names → addresses, all of which are allowed."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        super().__init__()
        self._networks = networks

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        # RFC 6761: this name means the machine itself, and nothing else.
        networks = _LOOPBACK if host.lower().rstrip(".") == "localhost" else self._networks
        if not all(is_allowed(each["host"], networks) for each in found):
            raise RejectedInput(
                "not_allowed",
                f"{host} leads to an address that is not public: if it should, name its network in "
                "documents.networks",
            )
        return found


async def _check(response: aiohttp.ClientResponse) -> None:
    where = f"{response.url.scheme}://{response.url.host}"
    if response.status in (404, 410):
        raise FileNotFoundError
    if response.status in (401, 403):
        raise PermissionError
    if 300 <= response.status < 400:
        raise RejectedInput("not_allowed", f"{where} redirects elsewhere, which is not followed: send the final URI")
    if response.status >= 400:
        raise TransientFailure("fetch_failed", f"{where} answered with status {response.status}")
    encodings = response.headers.getall("Content-Encoding", [])
    if any(encoding.strip().lower() not in ("", "identity") for encoding in encodings):
        raise RejectedInput(
            "not_readable", f"{where} answers in a compressed encoding, though asked for none: store the file plainly"
        )
