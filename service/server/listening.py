"""The sockets that the service listens on: address → bound sockets → no new connections.

A socket is bound when the program starts, so that no other program can take the port, and listens
once the service is ready. Until then the kernel refuses connections.

Connections that the kernel has completed wait in the socket's backlog. They are reset when the
socket is closed, although their clients may have sent a request. `hold_back` therefore ends new
connections first; then the backlog is emptied; then the socket is closed. The idea is that of
"True zero downtime HAProxy reloads" (Yelp, 2015), which delays SYN packets with a queue of the
kernel.
"""

import ctypes
import errno
import select
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress

from models.errors import FanlightError

BACKLOG_SECONDS = 5.0  # to accept what has connected before the listeners close
LAST_HANDSHAKES = 0.2  # seconds in which connections that have begun are completed
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux, which Python's module doesn't name
_NO_SYN = (  # a classic BPF program, which reads from the TCP header on: code, jumps, operand
    (0x30, 0, 0, 13),  # load the byte with the flags
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # then drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


class ListenError(FanlightError):
    """The service can't listen on the address and port of its settings."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind a socket to each address of the host. Raises `ListenError`.

    With port 0 all sockets get the same free port.
    """
    if not host.strip():
        raise ListenError(
            "host is empty; 127.0.0.1 listens on this machine only, 0.0.0.0 on all addresses"
        )
    if host == "*":  # which the system's library may take for 0.0.0.0
        raise ListenError("'*' is no address; 0.0.0.0 listens on all addresses")
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in _addresses(host, port):
            try:
                sockets.append(_bound(family, (address[0], port, *address[2:])))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # such as ::1 of localhost, on a machine without IPv6
            else:
                port = sockets[0].getsockname()[1]
        if missing and not sockets:
            raise missing
    except OSError as error:
        close(sockets)
        raise ListenError(refusal(host, port, error)) from error
    except (TypeError, ValueError) as error:  # what is no host name for Python
        raise ListenError(f"{host!r} is no address: {error}") from error
    return sockets


def refusal(host: str, port: int, error: OSError) -> str:
    """Return the message for an error of `bind` or `listen`."""
    busy = "; choose another port, or 0 for any" if error.errno == errno.EADDRINUSE else ""
    return f"can't listen on {host}:{port}: {error.strerror or error}{busy}"


def urls(sockets: Iterable[socket.socket], scheme: str) -> list[str]:
    """Return the address of each socket as a URL for a browser."""
    names = [each.getsockname() for each in sockets]
    hosts = [f"[{name[0]}]" if ":" in name[0] else name[0] for name in names]
    return [f"{scheme}://{host}:{name[1]}" for host, name in zip(hosts, names, strict=True)]


def close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()


def hold_back(listener: socket.socket) -> None:
    """Make the kernel drop SYN packets, for all processes that share the socket.

    Clients repeat the SYN after a second. If the socket is closed by then, they are refused: a
    proxy concludes that this server is down, and asks another. Only Linux can do this.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _NO_SYN))
    program = struct.pack("HP", len(_NO_SYN), ctypes.addressof(code))
    with suppress(OSError):  # a kernel that has no filters; connections may be reset there
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def has_input(file: int) -> bool:
    """True if the socket has something to read, or a connection to accept."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, ...]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # type: ignore[misc]


def _bound(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound
