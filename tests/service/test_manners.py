"""What clients, browsers and proxies expect of an HTTP service besides its answers."""

import gzip
import hashlib
import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.settings import Settings
from tests.networks import encode, picture
from tests.service.conftest import Serve
from tests.service.connections import PREDICT, Serving
from tests.service.test_predict import parts

pytestmark = pytest.mark.slow  # most tests start a service with settings of their own

IMAGE = encode(picture(0))
PNG = {"Content-Type": "image/png"}
PAGE = "https://example.org"
FEATURES = "/v1/models/colors/features?layer=conv&values=true"


def timings(header: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(\w+);dur=([\d.]+)", header)}


class TestServerTiming:
    def test_a_prediction_tells_where_its_time_went(self, client: TestClient) -> None:
        answer = client.post(PREDICT, files=parts(IMAGE))
        told = timings(answer.headers["server-timing"])
        assert list(told) == ["total", "decode", "queue", "forward"]
        assert 0 < told["decode"] + told["queue"] + told["forward"] <= told["total"] + 0.01

    @pytest.mark.anyio
    async def test_also_on_the_fast_path(self, serving: Serving) -> None:
        async with serving() as client:
            answer = await client.post(IMAGE)
            assert client.taken == [True]
        told = timings(answer.headers["server-timing"])
        assert list(told) == ["total", "decode", "queue", "forward"]

    def test_what_needs_no_network_tells_of_decoding(self, client: TestClient) -> None:
        answer = client.post("/v1/models/colors/input", files=parts(IMAGE))
        told = timings(answer.headers["server-timing"])
        assert list(told) == ["total", "decode"]
        assert 0 < told["decode"] <= told["total"]

    def test_others_tell_the_whole(self, client: TestClient) -> None:
        told = timings(client.get("/v1/models").headers["server-timing"])
        assert list(told) == ["total"]


class TestRequestId:
    @pytest.mark.parametrize(
        "given",
        [
            "3f2b8c1e-9a4d-4f6b-8c2e-1d3f5a7b9c0d",
            "Root=1-67891233-abcdef012345678912345678;Sampled=1",
            "YWJj/+8=",
            "gateway:42|a~b,c@d#e",
            "{550e8400-e29b-41d4-a716-446655440000}",
            "x" * 200,
        ],
    )
    def test_usual_forms_are_kept(self, client: TestClient, given: str) -> None:
        answer = client.get("/health/live", headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] == given

    @pytest.mark.parametrize("given", ["x" * 201, "a b", '"', "<script>", "é".encode(), "a\x7f"])
    def test_others_get_a_new_one(self, client: TestClient, given: Any) -> None:
        answer = client.get("/health/live", headers={"X-Request-ID": given})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


class TestTraceparent:
    TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

    def test_its_trace_is_logged(
        self, client: TestClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        capsys.readouterr()
        client.get("/health/live", headers={"traceparent": f"00-{self.TRACE}-00f067aa0ba902b7-01"})
        assert f"trace_id={self.TRACE}" in plain(capsys.readouterr().out)
        for wrong in ("x", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{self.TRACE.upper()}-00-01"):
            client.get("/health/live", headers={"traceparent": wrong})
            assert "trace_id" not in capsys.readouterr().out


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class TestCompression:
    def test_large_json_where_it_is_taken(self, client: TestClient) -> None:
        many = parts(*[encode(picture(seed)) for seed in range(64)])
        asked = {"Accept-Encoding": "gzip"}
        packed = client.post(FEATURES, files=many, headers=asked)
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept-Encoding"
        assert int(packed.headers["content-length"]) < len(packed.content) / 2
        whole = client.post(FEATURES, files=many, headers={"Accept-Encoding": "gzip;q=0, identity"})
        assert "content-encoding" not in whole.headers
        assert whole.headers["vary"] == "Accept-Encoding"
        assert packed.json() == whole.json()

    @pytest.mark.parametrize(
        "asked",
        [PREDICT, f"{FEATURES}&format=npz", "/v1/models/colors/explain?format=png&method=saliency"],
    )
    def test_neither_what_is_small_nor_what_is_no_text(
        self, client: TestClient, asked: str
    ) -> None:
        many = parts(*[IMAGE] * (64 if "npz" in asked else 1))
        answer = client.post(asked, files=many, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers

    def test_a_stream_of_lines_stays_one(self, client: TestClient) -> None:
        asked = {"Accept": "application/x-ndjson", "Accept-Encoding": "gzip", **PNG}
        answer = client.post(
            "/v1/models/colors/explain?method=occlusion", content=IMAGE, headers=asked
        )
        assert "content-encoding" not in answer.headers
        assert json.loads(answer.text.splitlines()[-1])["model"] == "colors"

    @pytest.mark.parametrize(
        ("asked", "packed"),
        [
            ("gzip", True),
            ("*", True),
            ("*, gzip;q=0", False),
            ("*;q=0, gzip", True),
            ("GZIP;q=0.5", True),
            ("br", False),
            ("", False),
        ],
    )
    def test_what_is_said_of_gzip_wins(self, client: TestClient, asked: str, packed: bool) -> None:
        answer = client.get("/openapi.json", headers={"Accept-Encoding": asked})
        assert ("content-encoding" in answer.headers) == packed
        assert answer.headers["vary"] == "Accept-Encoding"

    def test_a_part_of_a_file_is_that_part(self, client: TestClient) -> None:
        asked = {"Accept-Encoding": "gzip", "Range": "bytes=0-40000"}
        answer = client.get("/docs/swagger-ui/swagger-ui.css", headers=asked)
        assert answer.status_code == 206
        assert "content-encoding" not in answer.headers
        assert len(answer.content) == 40001

    def test_what_is_packed_is_gzip(self, client: TestClient) -> None:
        with client.stream("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"}) as answer:
            content = b"".join(answer.iter_raw())
        assert json.loads(gzip.decompress(content))["openapi"].startswith("3.1")


class TestETag:
    @pytest.mark.parametrize(
        "path",
        ["/v1/models", "/v1/models/colors", "/v1/models/colors/kernels/conv", "/openapi.json"],
    )
    def test_what_has_not_changed_is_not_sent_again(self, client: TestClient, path: str) -> None:
        first = client.get(path)
        tag = first.headers["etag"]
        assert re.fullmatch(r'W/"[0-9a-f]{24}"', tag)
        assert hashlib.sha256(first.content).hexdigest().startswith(tag[3:-1])
        for given in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = client.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        assert again.headers.get("vary") == first.headers.get("vary")
        several = [("If-None-Match", tag), ("If-None-Match", '"x"')]
        assert client.get(path, headers=several).status_code == 304
        assert client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
        assert client.head(path).headers["etag"] == tag

    @pytest.mark.parametrize("path", ["/", "/docs", "/static/docs.css"])
    def test_nor_are_pages_and_their_files(self, client: TestClient, path: str) -> None:
        first = client.get(path)
        for asked in (
            {"If-None-Match": first.headers["etag"]},
            {"If-Modified-Since": first.headers["last-modified"]},
        ):
            again = client.get(path, headers=asked)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == first.headers["etag"]
            assert again.headers["cache-control"] == first.headers["cache-control"]
        other = client.get(path, headers={"If-None-Match": '"x"'})
        assert (other.status_code, other.content) == (200, first.content)

    @pytest.mark.parametrize("path", ["/health/live", "/metrics", "/v1/models/no"])
    def test_neither_states_nor_errors(self, client: TestClient, path: str) -> None:
        assert "etag" not in client.get(path).headers


class TestCors:
    def test_off_by_default(self, client: TestClient) -> None:
        answer = client.get("/v1/models", headers={"Origin": PAGE})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert client.options("/v1/models", headers={"Origin": PAGE}).status_code == 405

    def test_of_the_pages_that_are_named(self, serve: Serve) -> None:
        client = serve(cors_origins=f"{PAGE}, http://localhost:3000")
        for origin in (PAGE, "http://localhost:3000"):
            answer = client.post(PREDICT, content=IMAGE, headers={"Origin": origin, **PNG})
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["vary"] == "Origin"
            assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        for origin in ("https://example.org.evil.com", "https://example.org:8443", "null"):
            answer = client.get("/v1/models", headers={"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["vary"] == "Origin"
        refused = client.post("/v1/models/no/predict", content=IMAGE, headers={"Origin": PAGE})
        assert refused.headers["access-control-allow-origin"] == PAGE  # pages can read errors

    @pytest.mark.anyio
    async def test_also_on_the_fast_path(self, serving: Serving) -> None:
        async with serving(cors_origins="*") as client:
            answer = await client.post(IMAGE, Origin=PAGE)
            assert client.taken == [True]
        assert answer.headers["access-control-allow-origin"] == "*"

    def test_a_browser_may_ask_whether_it_may(self, serve: Serve) -> None:
        client = serve(cors_origins=PAGE, api_key="secret-and-long-enough")
        asked = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        answer = client.options(PREDICT, headers=asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == PAGE
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        for header in ("Authorization", "If-None-Match", "Traceparent", "Tracestate"):
            assert header in allowed
        assert "POST" in answer.headers["access-control-allow-methods"]
        other = client.options(PREDICT, headers={**asked, "Origin": "https://evil.com"})
        assert "access-control-allow-origin" not in other.headers

    @pytest.mark.parametrize("given", ["example.org", "https://example.org/path", "ftp://x", "**"])
    def test_what_is_no_origin(self, given: str) -> None:
        with pytest.raises(ValueError, match="is no origin"):
            Settings(cors_origins=given)


class TestBehindAProxy:
    def test_the_path_of_a_prefix(self, serve: Serve) -> None:
        client = serve(root_path="/fanlight")
        assert client.get("/openapi.json").json()["servers"][0]["url"] == "/fanlight"
        for prefix in ("", "/fanlight"):  # taken away by the proxy, or not
            assert client.get(f"{prefix}/v1/models").status_code == 200
            assert client.post(prefix + PREDICT, content=IMAGE, headers=PNG).status_code == 200
            assert client.get(f"{prefix}/static/docs.css").status_code == 200
            assert client.get(f"{prefix}/").status_code == 200
        page = client.get("/fanlight", follow_redirects=False)  # its links are relative
        assert (page.status_code, page.headers["location"]) == (308, "fanlight/")
        assert client.get("/fanlight").url.path == "/fanlight/"
        assert client.post("/fanlight").status_code == 405
        assert client.get("/fanlightly/v1/models").status_code == 404

    def test_problems_name_the_path_that_the_client_sees(self, serve: Serve) -> None:
        client = serve(root_path="/fanlight")
        for prefix in ("", "/fanlight"):  # taken away by the proxy, or not
            told = client.post(f"{prefix}/v1/models/n%20o/predict", content=IMAGE).json()
            assert told["instance"] == "/fanlight/v1/models/n%20o/predict"
            told = client.get(f"{prefix}/v1/model").json()
            assert told["instance"] == "/fanlight/v1/model"
            assert told["detail"] == (
                "there is nothing at /fanlight/v1/model; did you mean /fanlight/v1/models? "
                "/fanlight/docs lists what there is"
            )
            assert client.get(f"{prefix}/v2/models/no").json().keys() == {"error"}

    def test_it_leads_to_no_figures(self, serve: Serve) -> None:
        """With a port of their own they are not answered here, under whatever path."""
        client = serve(root_path="/fanlight", metrics_port=1)
        for path in ("/metrics", "/fanlight/metrics"):
            assert client.get(path).status_code == 404

    @pytest.mark.parametrize("given", ["/v1", "/v2/x", "/docs", "/static", "/health", "/metrics"])
    def test_a_prefix_is_no_address_of_the_service(self, given: str) -> None:
        with pytest.raises(ValueError, match="begins like addresses of the service"):
            Settings(root_path=given)

    @pytest.mark.parametrize("given", ["fanlight", "/fanlight/", "/", "/a b", "/../x?"])
    def test_what_is_no_prefix(self, given: str) -> None:
        with pytest.raises(ValueError, match="root_path"):
            Settings(root_path=given)

    @pytest.mark.parametrize(
        ("trusted", "forwarded", "counted"),
        [
            ("", "10.0.0.1", "testclient"),  # nobody is believed
            ("127.0.0.1", "10.0.0.1", "10.0.0.1"),
            ("127.0.0.1", "1.2.3.4, 10.0.0.1", "10.0.0.1"),  # anybody can write the first
            ("127.0.0.1, 10.0.0.0/8", "1.2.3.4, 10.0.0.1", "1.2.3.4"),
            ("127.0.0.1", "10.0.0.1:5000", "10.0.0.1"),
            ("127.0.0.1", "[2001:db8::1]:5000", "2001:db8::1"),
            ("127.0.0.1", "nonsense", "127.0.0.1"),
            ("127.0.0.1", "nonsense, 10.0.0.1", "10.0.0.1"),
            ("10.9.9.9", "10.0.0.1", "127.0.0.1"),
            ("127.0.0.1, 10.0.0.0/8", "1.2.3.4, ::ffff:10.0.0.3", "1.2.3.4"),
        ],
    )
    def test_the_client_is_who_the_proxy_says(
        self, trusted: str, forwarded: str, counted: str
    ) -> None:
        from service.access.forwarded import Forwarded

        headers = [(b"x-forwarded-for", forwarded.encode()), (b"x-forwarded-proto", b"https")]
        peer = "127.0.0.1" if trusted else "testclient"
        scope: dict[str, Any] = {"client": (peer, 1), "headers": headers, "scheme": "http"}
        Forwarded(Settings(trusted_proxies=trusted).trusted_proxies).apply(scope)
        assert scope["client"][0] == counted
        believed = counted not in ("testclient", peer) or forwarded == "nonsense"
        assert scope["scheme"] == ("https" if believed else "http")

    @pytest.mark.anyio
    async def test_a_rate_is_that_of_the_client(self, serving: Serving) -> None:
        """On the fast path too: two clients behind one proxy have a rate each."""
        async with serving(trusted_proxies="127.0.0.1", rate_limit=0.01, rate_burst=1) as client:
            statuses = []
            for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
                answer = await client.post(IMAGE, X_Forwarded_For=address)
                statuses.append(answer.status)
        assert statuses == [200, 200, 429]

    @pytest.mark.parametrize("given", ["localhost", "10.0.0.0/99", "*"])
    def test_what_is_no_address(self, given: str) -> None:
        with pytest.raises(ValueError, match="neither an address nor a network"):
            Settings(trusted_proxies=given)
