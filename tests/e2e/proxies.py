"""Proxies that tests start before our server: nginx, HAProxy and Caddy."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.e2e.servers import free_port
from tests.waiting import until

PATIENCE = 30  # seconds for any one answer, and for a program to start or to end


NGINX_PATHS = "\n    ".join(  # in the folder of the test
    f"{name}_temp_path {path};"
    for name, path in (
        ("client_body", "body"),
        *((name, name) for name in ("proxy", "fastcgi", "uwsgi", "scgi")),
    )
)
NGINX = """
pid nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    PATHS
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream fanlight {{
        server 127.0.0.1:{upstream};
        keepalive 4;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://fanlight;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_request_buffering {buffering};
        }}
    }}
}}
""".replace("PATHS", NGINX_PATHS)


HAPROXY = """
global
    maxconn 256
    nbthread 1
defaults
    mode http
    http-reuse always
    timeout connect 30s
    timeout client 60s
    timeout server 60s
listen fanlight
    bind 127.0.0.1:{port}
    server fanlight 127.0.0.1:{upstream}
"""


CADDY = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{upstream} {{
        transport http {{
            keepalive 60s
            keepalive_idle_conns_per_host 4
        }}
    }}
}}
"""


class Proxy(NamedTuple):
    """How one is run: `{port}` and `{upstream}` stand in its configuration."""

    command: tuple[str, ...]
    configuration: str


_NGINX = ("nginx", "-p", ".", "-c", "proxy.conf", "-e", "stderr")


_ALONE = ("-g", "daemon off; master_process off;")


PROXIES = {
    "nginx": Proxy((*_NGINX, *_ALONE), NGINX.replace("{buffering}", "on")),
    "nginx-unbuffered": Proxy((*_NGINX, *_ALONE), NGINX.replace("{buffering}", "off")),
    "haproxy": Proxy(("haproxy", "-db", "-f", "proxy.conf"), HAPROXY),
    "caddy": Proxy(("caddy", "run", "--adapter", "caddyfile", "--config", "proxy.conf"), CADDY),
}


@contextmanager
def proxying(proxy: Proxy, folder: Path, **upstreams: int) -> Iterator[int]:
    """The port of a proxy that runs in this folder, once it listens."""
    port, (command, configuration) = free_port(), proxy
    (folder / "proxy.conf").write_text(configuration.format(port=port, **upstreams))
    log, homes = folder / "proxy.log", ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    environment = {**os.environ, **dict.fromkeys(homes, str(folder))}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=folder, env=environment, stderr=output) as process,
    ):
        try:
            _wait_until_listening(process, port, log)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            return True
        return False

    until(listens, PATIENCE)
