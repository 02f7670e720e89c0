"""Variables named FANLIGHT_…: settings, misspelt settings, and those that others set.

For a Service called `fanlight`, Kubernetes sets FANLIGHT_PORT=tcp://10.96.0.12:8000 and others in
each container of the namespace, and `docker run --link` does alike. None of them is a setting.
"""

import os
import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from models.registry import nearest

PREFIX = "FANLIGHT_"
OTHERS = ("FANLIGHT_DATA", "FANLIGHT_CACHE", "FANLIGHT_CHECKPOINTS", "FANLIGHT_IMAGE")
"""Variables of the training commands, of copies from elsewhere, and of docker-compose.yml."""
REPORTED = "_FANLIGHT_REPORTED"
"""The variable that says that `report` has been called."""
_ALIKE = 0.9  # of two prefixes: one letter in eight is wrong; LIGHT has 0.77
_ADDRESS = re.compile(r"(?i)(tcp|udp|sctp)://")
# after the name of the Service; FANLIGHT_GPU_SERVICE_HOST is of one called fanlight-gpu
_LINK = re.compile(
    r"FANLIGHT_(\w+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|ENV_\w+)"
)


def is_service_link(name: str, value: str) -> bool:
    """True if Kubernetes or Docker set this variable to tell where another service is."""
    name = name.upper()
    if _LINK.fullmatch(name):
        return True
    if re.fullmatch(r"FANLIGHT_(\w+_)?PORT", name):
        return _ADDRESS.match(value) is not None
    return re.fullmatch(r"FANLIGHT_(\w+_)?NAME", name) is not None and value.startswith("/")


def service_links(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that Kubernetes or Docker set, sorted."""
    return sorted(name for name, value in environment.items() if is_service_link(name, value))


def unknown(environment: Mapping[str, str], settings: Iterable[str]) -> dict[str, str | None]:
    """Find variables that were probably meant for us, and that nothing reads.

    These begin with our prefix but name no setting (FANLIGHT_PROT), or name a setting with the
    prefix misspelt (FANLGHT_PORT). Each is mapped to the variable that was probably meant, or to
    None. `settings` are the names of the fields, such as `max_batch_size`.
    """
    known = {PREFIX + name.upper() for name in settings} | set(OTHERS)
    found: dict[str, str | None] = {}
    for name in sorted(environment):
        if meant := _with_our_prefix(name, known):
            found[name] = meant
        strange = name.upper().startswith(PREFIX) and name.upper() not in known
        if strange and not is_service_link(name, environment[name]):
            near = nearest(
                name.upper().removeprefix(PREFIX).lower(),
                [each.removeprefix(PREFIX).lower() for each in known],
            )
            found[name] = PREFIX + near.upper() if near else None
    return found


def _with_our_prefix(name: str, known: Iterable[str]) -> str | None:
    """Return the variable that a misspelt prefix means, such as FANLGHT_PORT or FAN_LIGHT_PORT.

    None for names that only resemble ours.
    """
    letters = name.upper().replace("_", "")
    for each in known:
        setting = each.removeprefix(PREFIX).replace("_", "")
        if name.upper().startswith(PREFIX) or not letters.endswith(setting):
            continue
        prefix = letters.removesuffix(setting)
        if SequenceMatcher(None, prefix, PREFIX.strip("_")).ratio() >= _ALIKE:
            return each
    return None


def report(settings: Iterable[str]) -> None:
    """Log variables with our prefix that are not settings, and an API key that is empty.

    The first call leaves a mark in the environment, so that its worker processes don't repeat it.
    """
    import structlog  # here: the command line of a training needs this module without it

    if os.environ.get(REPORTED):
        return
    os.environ[REPORTED] = "1"
    log = structlog.get_logger()
    for name in (f"{PREFIX}API_KEY", f"{PREFIX}API_KEY_FILE"):
        if os.environ.get(name) == "":
            log.warning("empty_variable", name=name, effect="it asks for no key")
    if links := service_links(os.environ):
        log.info("service_links_ignored", variables=links, set_by="Kubernetes or Docker")
    strange = unknown(os.environ, settings)
    for name, near in strange.items():
        log.warning("unknown_variable", name=name, **({"did_you_mean": near} if near else {}))
