"""The addresses that are answered, for errors: which methods one takes, and which one was meant."""

from collections.abc import Collection, Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute

from models.registry import nearest

MAX_COMPARED = 256  # characters of a path that is compared with the addresses


class Addresses:
    """The addresses of all routes, and the beginnings of those of files (`mounts`)."""

    def __init__(self, routers: Sequence[APIRouter], mounts: Collection[str] = ()) -> None:
        self._mounts = mounts
        routes = [each for router in routers for each in router.routes]
        self._routes = [each for each in routes if isinstance(each, APIRoute)]

    def root(self, root_path: str) -> str:
        """Return the path under which the service lies.

        `root_path` is that of an ASGI scope. Starlette adds the path of a mount to it.
        """
        for mount in self._mounts:
            root_path = root_path.removesuffix(mount)
        return root_path

    def methods(self, path: str) -> list[str]:
        """Return the methods that the path takes, sorted; HEAD is taken wherever GET is."""
        matching = (each for each in self._routes if each.path_regex.match(path))
        found = {method for each in matching for method in each.methods or ()}
        return sorted(found | {"HEAD"} if "GET" in found else found)

    def meant(self, path: str) -> str | None:
        """Return the address that was probably meant by a wrong `path`; None if none is near.

        For `/v1/modles/xo` it is `/v1/models/xo`: the parts of the path are compared with those of
        each address, and parameters, such as the model's name, are taken from the path. For
        `/predict`, the end of an address, it is the shortest address that ends so.
        """
        if len(path) > MAX_COMPARED:
            return None
        given = path.rstrip("/").split("/")
        known = [each.path_format.split("/") for each in self._routes]
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
