"""A device by name is one that is there."""

import pytest
import torch

from models import devices
from models.devices import DeviceError

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a CUDA device")


def test_cpu() -> None:
    assert devices.resolve("cpu") == torch.device("cpu")


@without_gpu
def test_auto_is_the_cpu_without_a_cuda_device() -> None:
    assert devices.resolve("auto") == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_auto_is_the_first_cuda_device(name: str) -> None:
    assert devices.resolve(name) == torch.device("cuda", 0)


@without_gpu
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_cuda_without_a_cuda_device(name: str) -> None:
    with pytest.raises(DeviceError, match=f"'{name}' is not there: torch sees 0 CUDA devices"):
        devices.resolve(name)


def test_a_cuda_device_beyond_the_last() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(DeviceError, match=f"torch sees {count} CUDA devices; take auto"):
        devices.resolve(f"cuda:{count}")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:-1", "cuda:first"])
def test_no_device(name: str) -> None:
    with pytest.raises(DeviceError, match=f"no device '{name}'; take auto, cpu, cuda"):
        devices.resolve(name)


@pytest.mark.parametrize("name", ["meta", "mps", "xpu"])
def test_devices_that_are_not_supported(name: str) -> None:
    with pytest.raises(DeviceError, match=f"'{name}' is not supported"):
        devices.resolve(name)
