"""The gate: keys with names, how often a client may ask, and what it is told otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.access import api_keys, reloading
from service.access.gate import CALLER, OF_SETTING, Gate
from service.errors import RateLimitError, UnauthorizedError, UnavailableError
from service.settings import Settings
from tests.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    for name in ("alice", "bob"):
        api_keys.add(path, name, f"key of {name}")
    return path


def request(*keys: str | None, client: str = "10.0.0.1") -> dict[str, Any]:
    """An ASGI scope."""
    headers = [(b"host", b"x")]
    headers += [(b"authorization", f"Bearer {key}".encode()) for key in keys if key]
    return {"type": "http", "headers": headers, "client": (client, 1)}


@contextmanager
def gate(**settings: Any) -> Iterator[Gate]:
    with Gate(Settings(**settings)) as opened:
        yield opened


def name(opened: Gate, key: str) -> str | None:
    scope = request(key)
    opened.check(scope)
    found: str | None = scope[CALLER]
    return found


def test_each_key_has_its_name(path: Path) -> None:
    with gate(api_key_file=path) as opened:
        assert not opened.is_open
        assert name(opened, "key of alice") == "alice"
        assert name(opened, "key of bob") == "bob"


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer key of carol",
        b"Bearer key of alice2",
        b"Bearer key of alic",
        b"Basic key of alice",
        b"key of alice",
        b"Bearer key of alice, Bearer key of bob",
        b"Bearer \xff\xfe",
        b"Bearer " + b"a" * 60_000,
    ],
)
def test_nothing_else_is_a_key(path: Path, header: bytes | None) -> None:
    scope = request()
    if header is not None:
        scope["headers"].append((b"authorization", header))
    with gate(api_key_file=path) as opened:
        with pytest.raises(UnauthorizedError, match="setting api_key_file"):
            opened.check(scope)
        assert CALLER not in scope


def test_nor_is_a_hash_from_the_file(path: Path) -> None:
    hashed = path.read_text().split()[1]
    with gate(api_key_file=path) as opened:
        for text in (hashed, hashed.removeprefix("sha256:")):
            with pytest.raises(UnauthorizedError):
                opened.check(request(text))


def test_two_keys_in_a_request_are_refused(path: Path) -> None:
    with gate(api_key_file=path) as opened, pytest.raises(UnauthorizedError, match="once"):
        opened.check(request("key of alice", "key of alice"))


@pytest.mark.parametrize("header", [b"bearer key of bob", b"BEARER   key of bob  "])
def test_the_scheme_is_read_as_rfc_9110_says(path: Path, header: bytes) -> None:
    scope = request() | {"headers": [(b"authorization", header)]}
    with gate(api_key_file=path) as opened:
        opened.check(scope)
    assert scope[CALLER] == "bob"


def test_the_key_of_the_settings_still_counts(path: Path) -> None:
    key = SecretStr("sésame")
    with gate(api_key_file=path, api_key=key) as opened:
        assert name(opened, "sésame") == OF_SETTING
        assert name(opened, "key of bob") == "bob"
    with gate(api_key=key) as opened, pytest.raises(UnauthorizedError, match=r"setting api_key\)"):
        opened.check(request("key of bob"))


def test_no_key_is_kept_in_memory(path: Path) -> None:
    with gate(api_key_file=path) as opened:
        assert "key of alice" not in repr(vars(opened))


def test_without_settings_everything_may_pass() -> None:
    with gate() as opened:
        assert opened.is_open
        opened.check(request())


def test_keys_come_and_go_with_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.001)

    def is_known(key: str) -> bool:
        try:
            return name(opened, key) is not None
        except UnauthorizedError:
            return False

    with gate(api_key_file=path) as opened:
        assert not is_known("key of carol")
        api_keys.add(path, "carol", "key of carol")
        until(lambda: is_known("key of carol"))
        assert is_known("key of alice")
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if not line.startswith("alice")))
        until(lambda: not is_known("key of alice"))
        assert is_known("key of carol")


@pytest.mark.parametrize("damage", ["", "alice key", None])
def test_a_file_that_breaks_later_opens_and_shuts_nothing(
    path: Path, damage: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.001)
    looked: list[object] = []
    report = reloading.log.error
    monkeypatch.setattr(reloading.log, "error", lambda *a, **k: looked.append(report(*a, **k)))
    with gate(api_key_file=path) as opened:
        if damage is None:
            path.unlink()
        else:
            path.write_text(damage)
        until(lambda: looked)
        assert name(opened, "key of alice") == "alice"
        with pytest.raises(UnauthorizedError):
            opened.check(request("key"))


def test_nobody_passes_until_the_file_was_read_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is started anew while the file is broken."""
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.001)
    content = path.read_text()
    path.write_text("")
    with gate(api_key_file=path) as opened:
        for scope in (request(), request("key of alice")):
            with pytest.raises(UnavailableError, match="setting api_key_file"):
                opened.check(scope)
        path.write_text(content)

        def passes() -> bool:
            try:
                return name(opened, "key of alice") == "alice"
            except UnavailableError:
                return False

        until(passes)


class TestRateLimit:
    def passed(self, opened: Gate, number: int, *keys: str, **client: str) -> int:
        done = 0
        for _ in range(number):
            try:
                opened.check(request(*keys, **client))
            except RateLimitError:
                continue
            except UnauthorizedError:
                pass
            done += 1
        return done

    def test_is_of_the_key(self, path: Path) -> None:
        with gate(api_key_file=path, rate_limit=0.001, rate_burst=3) as opened:
            assert self.passed(opened, 10, "key of alice") == 3
            assert self.passed(opened, 10, "key of alice", client="10.0.0.2") == 0
            assert self.passed(opened, 10, "key of bob") == 3

    def test_is_of_the_address_where_no_key_is_asked_for(self) -> None:
        with gate(rate_limit=0.001, rate_burst=3) as opened:
            assert not opened.is_open
            assert self.passed(opened, 10) == 3
            assert self.passed(opened, 10, "an ignored key") == 0
            assert self.passed(opened, 10, client="10.0.0.2") == 3

    def test_wrong_keys_count_for_the_address_and_hurt_no_key(self, path: Path) -> None:
        with gate(api_key_file=path, rate_limit=0.001, rate_burst=3) as opened:
            assert self.passed(opened, 10, "wrong") == 3
            assert self.passed(opened, 10, "key of alice") == 3

    def test_a_host_has_all_of_the_last_half_of_ipv6(self) -> None:
        with gate(rate_limit=0.001, rate_burst=3) as opened:
            assert self.passed(opened, 10, client="2001:db8::1") == 3
            assert self.passed(opened, 10, client="2001:db8::ffff:2") == 0
            assert self.passed(opened, 10, client="2001:db8:0:1::1") == 3
            assert self.passed(opened, 10, client="fe80::1%eth0") == 3
            assert self.passed(opened, 10, client="::ffff:10.0.0.1") == 3
            assert self.passed(opened, 10, client="10.0.0.1") == 0

    def test_a_client_without_an_address(self) -> None:
        with gate(rate_limit=0.001, rate_burst=3) as opened:
            for scope in (request() | {"client": None}, request(client="testclient")):
                opened.check(dict(scope))

    def test_a_key_can_not_be_named_like_an_address(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        api_keys.add(path, "10.0.0.1", "key")
        with gate(api_key_file=path, rate_limit=0.001, rate_burst=3) as opened:
            assert self.passed(opened, 10, "wrong") == 3
            assert self.passed(opened, 10, "key") == 3

    def test_a_request_that_is_checked_twice_counts_once(self, path: Path) -> None:
        with gate(api_key_file=path, rate_limit=0.001, rate_burst=3) as opened:
            for _ in range(3):
                scope = request("key of alice")
                for _ in range(5):
                    opened.check(scope)
            with pytest.raises(RateLimitError):
                opened.check(request("key of alice"))

    def test_the_answer_says_when_and_which_setting(self, path: Path) -> None:
        with gate(api_key_file=path, rate_limit=0.1) as opened:
            opened.check(request("key of alice"))
            with pytest.raises(RateLimitError) as raised:
                opened.check(request("key of alice"))
        assert raised.value.status == 429
        assert raised.value.headers == {"Retry-After": "10"}
        assert "'alice' may ask 0.1 times a second (setting rate_limit)" in raised.value.detail


def test_a_digest_is_compared_and_never_a_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work for a wrong key doesn't depend on which, or how many, keys there are."""
    asked: list[bytes] = []
    digest = api_keys.digest
    with gate(api_key_file=path) as opened:

        def recorded(key: bytes) -> bytes:
            asked.append(key)
            return digest(key)

        monkeypatch.setattr(api_keys, "digest", recorded)
        for key in ("wrong", "key of alicE"):
            with pytest.raises(UnauthorizedError):
                opened.check(request(key))
    assert asked == [b"wrong", b"key of alicE"]
