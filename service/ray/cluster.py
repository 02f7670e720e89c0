"""Settings and scale → a running application, on a cluster of its own or on one that is there.

Ray reads its variables when it is imported, and hands them down to the processes that it starts.
So Ray is imported after `variables` are set.
"""

import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from models.errors import FanlightError
from service.monitoring import logs
from service.ray.scale import Scale
from service.setting_values import environment
from service.settings import Settings

Proxy = Literal["haproxy", "ray"]
SHORT = "/tmp"  # noqa: S108 (a folder of our own in it; the path of a socket has at most 97 bytes)
LOOPBACK = ("127.0.0.1", "localhost")
LOOK_SECONDS = 5.0  # between two looks at the state of the application
MAX_REASON = 2000  # characters of Ray's reason
_ERROR = re.compile(r"[\w.]*(?:Error|Exception|Exit)(?:\(\w+\))?: (.+)")
log = logs.Log()


class ClusterError(FanlightError):
    """The cluster can't be reached, or the application does not run on it."""


def usual_proxy() -> Proxy:
    """Return HAProxy where Ray brings it: on Linux."""
    return "haproxy" if sys.platform == "linux" else "ray"


def variables(settings: Settings, proxy: Proxy, folder: Path) -> dict[str, str]:
    """Return the variables of a cluster that `serve_here` starts.

    `folder` is for the files of HAProxy. Ray's default is a folder that all users share, with a
    socket that all may write to.
    """
    common = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    if proxy == "ray":
        return common | {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
    return common | {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(settings.shutdown_grace),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a log line for each request, read by Python
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
    }


def serve_here(settings: Settings, scale: Scale, proxy: Proxy) -> None:
    """Start a cluster on this machine, and serve on it until a signal ends it.

    Variables that are set already win over `variables`. A second signal ends the process at once.
    Raises `ClusterError`.
    """
    with tempfile.TemporaryDirectory(prefix="fanlight-", dir=SHORT) as folder:
        for name, value in variables(settings, proxy, Path(folder)).items():
            os.environ.setdefault(name, value)
        # HAProxy asks the replicas at the address of the node, and they listen on `host` only
        options = {"_node_ip_address": "127.0.0.1"} if settings.host in LOOPBACK else {}
        _connect(settings, address="local", include_dashboard=False, **options)
        import ray
        from ray import serve

        try:
            with _interruptible():
                if missing := lacks(scale, ray.cluster_resources()):
                    raise ClusterError(f"{missing}; lower --replicas, or what each gets")
                _deploy(settings, scale)
                log.info("serving", url=f"http://{settings.host}:{settings.port}", proxy=proxy)
                _wait()
                log.info("draining", seconds=settings.shutdown_grace)
                serve.shutdown()
        finally:
            ray.shutdown()
            end_left(Path(folder))


def end_left(folder: Path) -> None:
    """End the processes in whose command line that folder is: an HAProxy that Ray has forgotten."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            if f"{folder}/".encode() in each.read_bytes():
                os.kill(int(each.parent.name), signal.SIGTERM)


def lacks(scale: Scale, there: Mapping[str, float]) -> str | None:
    """Return what the replicas need more than is `there`, by Ray's names; None if they have room.

    With `max_replicas` it is the fewest that must have room.
    """
    for name, words, each in (("CPU", "processors", scale.cpus), ("GPU", "GPUs", scale.gpus)):
        needed, found = scale.replicas * each, there.get(name, 0.0)
        if needed > found:
            some = f"{scale.replicas} replicas" if scale.replicas > 1 else "a replica"
            return f"{some} with {each:g} {words} each: {needed:g} {words}, and there are {found:g}"
    return None


def deploy(settings: Settings, scale: Scale, address: str) -> None:
    """Deploy or update the application on a running cluster, and return once it runs.

    The new replicas are ready before the old ones are stopped. Raises `ClusterError`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _connect(settings, address=address)
    import ray

    try:
        if missing := lacks(scale, ray.cluster_resources()):
            log.warning("waits for room", missing=missing)
        _deploy(settings, scale)
    finally:
        ray.shutdown()


def _connect(settings: Settings, **options: Any) -> None:
    logs.configure(settings.log_level, settings.log_format)
    environment.report(Settings.model_fields)
    import ray

    try:
        ray.init(log_to_driver=False, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster: {_reason(error)}; 'ray status' tells whether one runs"
        ) from error


def _deploy(settings: Settings, scale: Scale) -> None:
    from ray import serve
    from ray.exceptions import RayError

    from service.ray.application import NAME, application

    listening = {
        "host": settings.host,
        "port": settings.port,
        "keep_alive_timeout_s": max(1, int(settings.idle_timeout)),
    }
    try:
        serve.start(proxy_location="EveryNode", http_options=listening)
        serve.run(application(settings, scale), name=NAME, route_prefix=settings.root_path or "/")
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reasons: list[str] = []
        with suppress(Exception):  # the cluster may be gone; then its error is all there is
            told = serve.status().applications.get(NAME)
            reasons = [] if told is None else [each.message for each in told.deployments.values()]
        text = "; ".join(filter(None, reasons)) or str(error)
        raise ClusterError(f"the application does not run: {_reason(text)}") from error


def _reason(told: object) -> str:
    """Return the last error that a text names, without the traceback before it, or its end."""
    lines = [line.strip() for line in str(told).splitlines() if line.strip()]
    for line in reversed(lines):
        if found := _ERROR.match(line):
            return f"{found[1]} (Ray's logs have the traceback)"
    text = " ".join(lines) or type(told).__name__
    return text if len(text) <= MAX_REASON else f"… {text[-MAX_REASON:]}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt`; Ray would abort the process.

    Enter this once Ray has set its own handlers.
    """
    before = {
        each: signal.signal(each, signal.default_int_handler)
        for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _wait() -> None:
    """Wait for a signal, and log meanwhile when the state of the application changes.

    Another signal after the first ends the process at once.
    """
    from ray import serve

    from service.ray.application import NAME

    logged, never = None, threading.Event()
    with suppress(KeyboardInterrupt):
        while not never.wait(LOOK_SECONDS):
            try:
                told = serve.status().applications.get(NAME)
            except Exception as error:
                raise ClusterError(f"the cluster does not answer: {_reason(error)}") from error
            state = "MISSING" if told is None else told.status.value
            if state != logged:
                log.info("application", state=state, reason=told.message if told else "")
            logged = state
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
