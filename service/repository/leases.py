"""Leases: each request holds one on its version, so that a version is closed only when unused."""

from contextlib import AsyncExitStack


class Lease:
    """A count of the requests that use a version; each holds the lease in a `with` block."""

    __slots__ = ("retired", "users")

    def __init__(self) -> None:
        self.users = 0
        self.retired = False  # no new request gets this version

    def __enter__(self) -> None:
        self.users += 1

    def __exit__(self, *_: object) -> None:
        self.users -= 1


class Leases:
    """The owner of the resources (batchers, engines) of all versions.

    It closes a retired version once no request uses it, and every other version at the end.
    """

    def __init__(self) -> None:
        self._open: list[tuple[Lease, AsyncExitStack]] = []

    def own(self, resources: AsyncExitStack) -> Lease:
        """Take over the resources of a version, and return a lease that nobody holds yet."""
        lease = Lease()
        self._open.append((lease, resources))
        return lease

    async def close_unused(self) -> None:
        """Close the versions that are retired and not used."""
        unused = [each for each in self._open if each[0].retired and not each[0].users]
        self._open = [each for each in self._open if each not in unused]
        for _lease, resources in unused:
            await resources.aclose()

    async def close_all(self) -> None:
        """Close all versions, even those in use."""
        async with AsyncExitStack() as everything:
            for _lease, resources in self._open:
                everything.push_async_exit(resources)
        self._open = []
