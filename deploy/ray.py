"""For `serve run deploy.ray:app`, `serve deploy` and KubeRay: the arguments → the application.

    serve run deploy.ray:app replicas=2 cpus=2

The arguments are the fields of `Scale`. The settings come from variables, as those of
`fanlight serve`: FANLIGHT_REPOSITORY, for example.
"""

from ray.serve import Application

from service.ray import application
from service.ray.scale import Scale
from service.settings import Settings


def app(scale: Scale) -> Application:
    """Build the application for Ray Serve. Raises `ValidationError` for a wrong setting."""
    return application.application(Settings(), scale)
