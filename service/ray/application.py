"""Settings and scale → the application that Ray Serve deploys, and its configuration."""

from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from models.remote.address import address_of
from service.ray.replica import Replica
from service.ray.scale import WITHOUT_USE, Scale
from service.settings import Settings

NAME = "fanlight"
MAX_ONGOING = 4096
"""Requests in a replica, and as many at each proxy, before Ray itself answers 429.

Our own queue is full before, and its 429 is a problem document that names the setting.
"""
OF_RAY = ("host", "port", *WITHOUT_USE)
"""Settings that a replica does not use."""


def configuration(settings: Settings, scale: Scale) -> dict[str, Any]:
    """Return the options of the deployment, as `serve.deployment` takes them.

    A stopped replica has as long as `fanlight serve`: the grace period, then the time to receive
    and to answer a request. During an update new replicas are ready before old ones are stopped.
    """
    options: dict[str, Any] = {
        "name": NAME,
        "ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus},
        "max_ongoing_requests": MAX_ONGOING,
        "max_queued_requests": MAX_ONGOING,
        "backpressure_config": {"status_code": 429, "retry_after_s": 1},
        "health_check_timeout_s": settings.worker_timeout,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": settings.shutdown_grace + 2 * settings.request_timeout + 5,
        "max_surge_percent": 100,
    }
    if scale.max_replicas is None:
        return options | {"num_replicas": scale.replicas}
    return options | {
        "autoscaling_config": {
            "min_replicas": scale.replicas,
            "max_replicas": scale.max_replicas,
            "target_ongoing_requests": scale.target_requests,
            "upscale_delay_s": scale.upscale_delay,
            "downscale_delay_s": scale.downscale_delay,
            "look_back_period_s": max(11.0, scale.upscale_delay),  # above Ray's 10 s of a report
        }
    }


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as the variables of each replica, with absolute paths."""
    changed: dict[str, Any] = {name: type(settings).model_fields[name].default for name in OF_RAY}
    changed["repository"] = tuple(map(_from_anywhere, settings.repositories))
    for name in ("graph_cache", "api_key_file"):
        if (path := getattr(settings, name)) is not None:
            changed[name] = _from_anywhere(path)
    return settings.model_copy(update=changed).environment()


def _from_anywhere(path: Path) -> Path:
    """Return the absolute path, since replicas run in other folders; URLs are kept."""
    return path.absolute() if address_of(path) is None else path


def application(settings: Settings, scale: Scale) -> Application:
    """Bind the deployment to its settings: what `serve.run` and `serve run` take."""
    ingress = serve.ingress()(Replica)
    made: Any = serve.deployment(**configuration(settings, scale))
    bound: Application = made(ingress).bind(environment(settings), scale.cpus)
    return bound
