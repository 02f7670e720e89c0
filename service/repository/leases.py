"""Who still uses a version: requests hold leases, and the owner closes what nobody uses."""

from contextlib import AsyncExitStack


class Lease:
    """Held for the duration of a `with` block by each request that a version answers."""

    __slots__ = ("retired", "users")

    def __init__(self) -> None:
        self.users = 0
        self.retired = False  # no new request gets this version

    def __enter__(self) -> None:
        self.users += 1

    def __exit__(self, *_: object) -> None:
        self.users -= 1


class Leases:
    """Owns the resources (batchers, engines) of all versions, and closes them.

    A version that is retired is closed once no request uses it; the others at the end.
    """

    def __init__(self) -> None:
        self._open: list[tuple[Lease, AsyncExitStack]] = []

    def own(self, resources: AsyncExitStack) -> Lease:
        """Take over the resources of a version; its lease, held by nobody yet."""
        lease = Lease()
        self._open.append((lease, resources))
        return lease

    async def close_unused(self) -> None:
        """Close what is retired and not used."""
        unused = [each for each in self._open if each[0].retired and not each[0].users]
        self._open = [each for each in self._open if each not in unused]
        for _lease, resources in unused:
            await resources.aclose()

    async def close_all(self) -> None:
        """Close everything, also what is used."""
        async with AsyncExitStack() as everything:
            for _lease, resources in self._open:
                everything.push_async_exit(resources)
        self._open = []
