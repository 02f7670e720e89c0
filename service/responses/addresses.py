"""The addresses that are answered, for errors: which methods one takes, and which one was meant."""

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute

from models.registry import nearest

MAX_COMPARED = 256  # characters of a path that is compared with the addresses


class Addresses:
    """The addresses of all routes."""

    def __init__(self, routers: Sequence[APIRouter]) -> None:
        routes = [each for router in routers for each in router.routes]
        self._routes = [each for each in routes if isinstance(each, APIRoute)]

    def methods(self, path: str) -> list[str]:
        """Return the methods that the path takes, sorted; HEAD is taken wherever GET is."""
        matching = (each for each in self._routes if each.path_regex.match(path))
        found = {method for each in matching for method in each.methods or ()}
        return sorted(found | {"HEAD"} if "GET" in found else found)

    def meant(self, path: str) -> str | None:
        """Return the address that is most similar to a path that has none; None if none is similar.

        Parameters of an address, such as the model's name, are taken from the path, and each other
        part has to be similar. For a path that is only the last part of an address, such as
        `/predict`, it is the shortest such address.
        """
        if len(path) > MAX_COMPARED:
            return None
        given = path.rstrip("/").split("/")
        known = [each.path_format.split("/") for each in self._routes if each.include_in_schema]
        filled = filter(None, (_filled(parts, given) for parts in known))
        if found := nearest(path, sorted(filled)):
            return found
        ending = ["/".join(parts) for parts in known if parts[-1] and parts[-1] == given[-1]]
        return min(ending, key=len, default=None)


def _filled(parts: list[str], given: list[str]) -> str | None:
    """Return the address with its parameters from the path; None if another part is not similar."""
    if len(parts) != len(given):
        return None
    found = []
    for own, theirs in zip(parts, given, strict=True):
        if own.startswith("{") and own.endswith("}") and theirs:
            found.append(theirs)
        elif own == theirs or nearest(theirs, [own]):
            found.append(own)
        else:
            return None
    return "/".join(found)
