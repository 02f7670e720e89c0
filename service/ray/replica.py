"""A replica of Ray Serve: the settings of the deployment → the application, on one node."""

import os
from collections.abc import Mapping
from typing import cast

from starlette.types import ASGIApp

from service.app import Application, from_environment
from service.process import cpu
from service.ray import protocol
from service.setting_values.environment import PREFIX

MAX_SHARES = 256  # of a node, which the setting workers allows
ONGOING = "running_requests"
"""The figure by which Ray's autoscaler counts the requests of a replica."""


class Replica:
    """The application of `fanlight serve` as the ingress of a deployment.

    Ray builds it on the replica, waits until its models are loaded, asks for its health, and closes
    it once the requests that it has accepted are answered. Each replica follows the repository
    folder itself.
    """

    def __init__(self, environment: Mapping[str, str], cpus: float) -> None:
        """Take the settings of the deployment, as variables, and the processors of this replica.

        They win over variables that the node has.
        """
        self._environment = {**environment, f"{PREFIX}WORKERS": str(replicas_of_node(cpus))}
        self._application: Application | None = None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        for name in [each for each in os.environ if each.startswith(PREFIX)]:
            if name not in self._environment:
                del os.environ[name]  # what a node sets must not make its replicas differ
        os.environ.update(self._environment)
        self._application = cast(Application, from_environment())
        protocol.install(self._application)
        return self._application

    async def check_health(self) -> None:
        """Raise `UnavailableError` if /health/ready would answer 503.

        Ray calls this before a new replica gets requests, and then regularly. It replaces a replica
        that fails several times.
        """
        assert self._application is not None  # noqa: S101 (Ray builds it first)
        self._application.state.check_ready()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Return how many requests are in progress; the number of replicas follows this figure.

        Ray itself counts none of them, since they don't go through its handler.
        """
        assert self._application is not None  # noqa: S101
        return {ONGOING: self._application.state.metrics.in_flight}


def replicas_of_node(cpus: float) -> int:
    """Return how many replicas with `cpus` processors fit on this node.

    As the setting workers, this divides the node's processors among the replicas.
    """
    return min(MAX_SHARES, max(1, int(cpu.available_cpus() / cpus))) if cpus else 1
