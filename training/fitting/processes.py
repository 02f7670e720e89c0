"""Several processes that train one network: torchrun → `joined` → parts of a batch → sums.

Each process has a copy of the network and computes the gradients of its part of each batch. These
are averaged by torch's DistributedDataParallel, so all copies stay equal. The first process alone
writes files, prints and publishes.

The batch size is that of the recipe, whatever the number of processes. Batch normalisation uses the
statistics of a process's own part, since torch's SyncBatchNorm needs a GPU and a CPU should train
the same network; the running statistics are averaged over the processes after each epoch.
"""

import contextlib
import hashlib
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from models import devices, features
from models.errors import FanlightError, OptionError
from models.preprocessing import InputSpec
from training import torchrun
from training.data import storage
from training.data.datasets import ImageSet
from training.fitting.evaluation import Tally
from training.torchrun import Process, ReportedElsewhereError

LEAST_PART = 2  # pictures of a batch for each process: batch normalisation needs two
FEW_NORMALISED = 16  # pictures of a part, below which its statistics are poor
_REPORTED = "fanlight/reported"
_TO_JOIN = timedelta(minutes=10)
_TO_WAIT = timedelta(days=1)  # the others wait while the first reads pictures or fits a head
_Value = TypeVar("_Value")


class LostProcessError(FanlightError):
    """Another process of the training has ended or can't be reached."""


@dataclass(frozen=True)
class Processes:
    """The processes of one training; `rank` is the number of this one, 0 to `count` - 1.

    Every process must call the methods in the same order.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def least_batch(self) -> int:
        """The fewest pictures that a batch may have."""
        return LEAST_PART * self.count

    def check(self, batch_size: int, pictures: int | None = None) -> None:
        """Raise `OptionError` if a batch, or the training set, is too small for all processes."""
        if self.count == 1:
            return
        if batch_size < self.least_batch:
            raise OptionError(
                f"a batch of {batch_size} can't be shared by {self.count} processes, each of which "
                f"needs {LEAST_PART} pictures: give --batch-size {self.least_batch} or more, or "
                "start fewer processes"
            )
        if pictures is not None and pictures < self.least_batch:
            raise OptionError(
                f"{pictures} pictures to train on can't be shared by {self.count} processes: start "
                "fewer"
            )

    def part(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch's indices (N,): every `count`-th."""
        return batch[self.rank :: self.count]

    def sizes(self, batch: int) -> list[int]:
        """Return how many pictures of a batch each process gets."""
        return [len(range(rank, batch, self.count)) for rank in range(self.count)]

    def own(self, images: ImageSet) -> ImageSet:
        """Return this process's part of a set of pictures, without `origins`."""
        if self.count == 1:
            return images
        every = slice(self.rank, None, self.count)
        own = storage.some(images.images, every)
        return replace(images, images=own, targets=images.targets[every], origins=())

    def seed(self, seed: int) -> int:
        """Return a seed for what differs by process: augmentation and dropout."""
        digest = hashlib.blake2b(f"{seed} {self.rank}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> 1

    def parallel(self, network: nn.Module, spec: InputSpec) -> nn.Module:
        """Return the network as the loop calls it: `backward` averages its gradients.

        The weights become those of the first process.
        """
        if self.count == 1:
            return network
        has_unused = _has_unused(network, spec)
        with warnings.catch_warnings():  # torch 2.13 has another name for the option
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            return DistributedDataParallel(
                network,
                broadcast_buffers=False,  # `average_statistics` does it, once an epoch
                find_unused_parameters=has_unused,
            )

    def summed_up(self, tally: Tally) -> Tally:
        """Return the tally of all processes."""
        return tally if self.count == 1 else tally.summed(_summed)

    def average_statistics(self, network: nn.Module) -> None:
        """Give all copies of the network the same buffers.

        The statistics of batch normalisation become their mean over the processes. Other buffers
        become those of the first process.
        """
        if self.count == 1:
            return
        for module in network.modules():
            is_norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
            for buffer in module.buffers(recurse=False):
                if is_norm and buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.count
                else:
                    dist.broadcast(buffer, 0)

    def gathered(self, own: _Value) -> list[_Value]:
        """Return the value of each process, in the order of their ranks."""
        if self.count == 1:
            return [own]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, own)
        return values

    def from_first(self, value: Any = None) -> Any:
        """Return the first process's value to all; the others' is ignored."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]

    def check_same(self, images: ImageSet) -> None:
        """Raise `OptionError` if a process has read other pictures than the first one."""
        told = self.gathered((_digest(images), len(images), platform.node()))
        for rank, (digest, count, host) in enumerate(told):
            if digest != told[0][0]:
                raise OptionError(
                    f"process {rank} on {host} reads other pictures than process 0 on "
                    f"{told[0][2]}: {count:,} and {told[0][1]:,}; give all machines the same data "
                    "set, and the same versions of Fanlight and Pillow"
                )


ALONE = Processes()


class Joined(NamedTuple):
    processes: Processes
    device: torch.device


@contextmanager
def joined(device: str) -> Iterator[Joined]:
    """Join the group that torchrun has started, and choose this process's device.

    Without torchrun it is one process, and nothing is joined. If a process of a group fails, one
    of them raises the error; the others raise `ReportedElsewhereError`. Raises `OptionError` for a
    device that can't be shared, and `LostProcessError` if the others can't be reached.
    """
    own = torchrun.process()
    if own is None:
        yield Joined(ALONE, devices.resolve(device))
        return
    stores: list[Store] = []
    try:
        with _others():
            stores.append(_join())
        found = _device(device, own)
        with contextlib.ExitStack() as silent:
            if own.rank:
                nowhere = silent.enter_context(open(os.devnull, "w"))  # noqa: PTH123
                silent.enter_context(contextlib.redirect_stdout(nowhere))
            with _others():
                yield Joined(Processes(own.rank, own.count), found)
    except (Exception, KeyboardInterrupt) as error:
        if not _is_first_to_tell(own, stores):
            raise ReportedElsewhereError from error
        raise
    finally:
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()


def _join() -> Store:
    """Start the group; return the store of names and values that all processes share."""
    store: Store
    store, rank, count = next(rendezvous("env://", timeout=_TO_JOIN))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=PrefixStore("group", store),
        timeout=_TO_WAIT,
        world_size=count,
        rank=rank,
    )
    return store


def disband() -> None:
    """Leave the group, when the training is over; the first process works on alone."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def _device(name: str, own: Process) -> torch.device:
    """Return the GPU of the process's number on its machine, and set it; or the CPU."""
    if name.startswith("cuda:"):
        raise OptionError(
            f"--device {name} is one GPU, and {own.count} processes were started, each of which "
            "takes a GPU of its own: give auto or cuda"
        )
    found = devices.resolve(name)
    if found.type == "cpu":
        return found
    if own.local_rank >= (there := torch.cuda.device_count()):
        raise OptionError(
            f"{there} GPUs can't take the process number {own.local_rank + 1} of a machine: "
            f"start with --nproc-per-node {there}"
        )
    torch.cuda.set_device(own.local_rank)
    return torch.device("cuda", own.local_rank)


def _is_first_to_tell(own: Process, stores: Sequence[Store]) -> bool:
    """Return whether no other process of the group has an error to tell yet.

    If that can't be found out, since the group was not joined, or its store has ended with another
    process, the first process of each machine tells.
    """
    try:
        return int(stores[0].add(_REPORTED, 1)) == 1 if stores else own.local_rank == 0
    except RuntimeError:
        return own.local_rank == 0


@contextmanager
def _others() -> Iterator[None]:
    """Raise `LostProcessError` for an error of torch that means that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if isinstance(error, dist.DistError) or "gloo" in text or "NCCL" in text:
            raise LostProcessError(
                "another process of this training has ended, or can't be reached "
                f"({text.splitlines()[0][:200]}): see what it has printed. The same command with "
                "--resume goes on after the last finished epoch"
            ) from error
        raise


def _has_unused(network: nn.Module, spec: InputSpec) -> bool:
    """Return whether some weights get no gradient, such as those of auxiliary heads."""
    was_training = network.training
    network.eval()
    parameters = [each for each in network.parameters() if each.requires_grad]
    device = parameters[0].device if parameters else torch.device("cpu")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        example = spec.normalize(torch.zeros(1, *spec.shape, dtype=torch.uint8, device=device))
        features.first(network(example)).sum().backward()
    network.train(was_training)
    unused = any(each.grad is None for each in parameters)
    network.zero_grad(set_to_none=True)
    return unused


def _summed(values: Tensor) -> Tensor:
    total = values.clone()
    dist.all_reduce(total)
    return total


def _digest(images: ImageSet) -> str:
    """Return a checksum of the labels, of all targets, and of the pixels of some pictures."""
    found = hashlib.blake2b(repr(images.labels).encode(), digest_size=16)
    found.update(images.targets.cpu().numpy().tobytes())
    step = max(1, len(images) // 100)
    found.update(images.images[::step].cpu().numpy().tobytes())
    return found.hexdigest()
