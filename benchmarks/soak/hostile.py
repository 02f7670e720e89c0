"""Bytes that are almost a request: seeded mutations of good ones."""

import random

_INSERTED = (
    *(b"\r\n", b"\n", b"\0", b" ", b":", b"\r\n\r\n", b"\xff\xfe"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n"),
    *(b"Upgrade: h2c\r\n", b"Connection: close, upgrade\r\n", b"Expect: 100-continue\r\n"),
    *(b"Host: a\r\n", b"X: " + b"a" * 70_000 + b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
    *(b"GET / HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n"),
)
_OTHER_PROTOCOLS = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.0\r\n",
    b"\x00" * 500,
    b"",
)


def mutated(request: bytes, chance: random.Random) -> bytes:
    """Make one to four changes to a request, mostly in the head, where a parser may go wrong.

    One request in 20 is replaced by bytes of another protocol.
    """
    if chance.random() < 0.05:
        return chance.choice(_OTHER_PROTOCOLS)
    head = request.find(b"\r\n\r\n") + 4
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(head if chance.random() < 0.8 else len(request) + 1)
        change = chance.randrange(5)
        if change == 0:
            request = request[:at] + request[at + chance.randint(1, 8) :]
        elif change == 1:
            request = request[:at] + bytes([chance.randrange(256)]) + request[at + 1 :]
        elif change == 2:
            request = request[:at] + chance.choice(_INSERTED) + request[at:]
        elif change == 3:
            request = request[:at] + request[max(0, at - chance.randint(1, 40)) :]
        else:
            request = request[: max(1, at)]
        if not request:
            return request
    return request
