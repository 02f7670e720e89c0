"""Where a network runs: `auto`, `cpu`, `cuda` or `cuda:n` → a device that is there."""

import torch

from models.errors import OptionError


class DeviceError(OptionError):
    """The device isn't known, or this machine doesn't have it."""


def resolve(name: str) -> torch.device:
    """Return the device of this name; `auto` is the first CUDA device, or the CPU if there is none.

    Raises `DeviceError` for a name that is not known, or a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"no device {name!r}; take auto, cpu, cuda or cuda:0, cuda:1, …"
        ) from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise DeviceError(f"device {name!r} is not supported; take auto, cpu, cuda or cuda:n")
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise DeviceError(
            f"device {name!r} is not there: torch sees {count} CUDA devices; take auto"
        )
    return torch.device("cuda", device.index or 0)
