"""The test of a network before it is published, and each time it is loaded."""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from models.architectures import outputs, own_code
from models.checkpoint.allowance import ActivationLimit, TooLargeNetworkError
from models.checkpoint.errors import CheckpointError
from models.preprocessing import InputSpec, Pixels
from models.structure import reading
from models.structure.reading import Structure

_OF_A_SUM = 1e-5  # that probabilities in float32 may differ from 1


def trial(network: nn.Module, input: InputSpec, num_classes: int) -> Structure:
    """Run each of `probes` through the network, in evaluation mode; return its structure.

    Raises `CheckpointError` if the network doesn't return one finite logit per class, or if it
    returns probabilities.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    found: Structure | None = None
    answers: list[Tensor] = []
    for name, pixels in probes(input):
        batch = input.normalize(torch.from_numpy(pixels)[None].to(device))
        try:
            limit = nullcontext() if found else ActivationLimit()
            with outputs.returned(network) as returned, torch.inference_mode(), limit:
                logits = network(batch)
            found = found or reading.read(network, batch)
        except torch.OutOfMemoryError:
            raise
        except TooLargeNetworkError as error:
            raise CheckpointError(
                f"the network is too large for an input of shape {input.shape}: {error}"
            ) from error
        except own_code.FAILURES as error:
            raise CheckpointError(
                f"the network does not take an input of shape {input.shape}: "
                f"{own_code.reason(error)}; give the input another size or other channels, or "
                "take another network"
            ) from error
        wanted = f"where {num_classes} labels need (1, {num_classes})"
        if not isinstance(logits, Tensor):
            others = outputs.described(returned[0], (1, num_classes))
            raise CheckpointError(f"the network answers with no tensor {wanted}{others}")
        if logits.shape != (1, num_classes):
            others = outputs.described(returned[0], (1, num_classes))
            raise CheckpointError(
                f"the network answers with shape {tuple(logits.shape)} {wanted}{others}"
            )
        if not logits.isfinite().all():
            raise CheckpointError(
                f"the network answers {name} with what is not a finite number; train it again, "
                "with a lower learning rate, say"
            )
        answers.append(logits.double())
    if all((a >= 0).all() and (a.sum() - 1).abs() < _OF_A_SUM for a in answers):
        raise CheckpointError(
            "the network answers with probabilities, which sum to 1, where logits are needed: "
            "leave out the softmax at the end of its forward pass, which has no weights"
        )
    return found or Structure(())


def probes(input: InputSpec) -> Iterator[tuple[str, Pixels]]:
    """Images that every network must answer: flat ones and noise, uint8 (C, H, W), by name."""
    noise = np.random.default_rng(0)
    for name, level in (("a black image", 0), ("a white image", 255), ("a grey image", 128)):
        yield name, np.full(input.shape, level, np.uint8)
    yield "noise", noise.integers(0, 256, input.shape, np.uint8)
    yield "noise of black and white", noise.integers(0, 2, input.shape, np.uint8) * 255
