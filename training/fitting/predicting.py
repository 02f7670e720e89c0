"""Predictions of a network for a set of pictures: pictures → logits → loss and accuracy.

Pictures are processed in batches that fit into memory, without gradients.
"""

import torch
from torch import Tensor, nn

from models.preprocessing import InputSpec
from training.data.datasets import ImageSet
from training.fitting.evaluation import Metrics, Tally
from training.fitting.processes import ALONE, Processes

EVALUATION_BATCH = 500
EVALUATION_PIXELS = EVALUATION_BATCH * 64 * 64  # a batch; what layers give takes much more memory


def evaluate(
    network: nn.Module, images: ImageSet, spec: InputSpec, processes: Processes = ALONE
) -> Metrics:
    """Return loss and accuracy over all pictures, NaN if a logit is not finite.

    Each of several processes predicts its part. Leaves the network in evaluation mode.
    """
    tally, own = Tally(images.targets.device), processes.own(images)
    if len(own):
        tally.add(predict(network, own, spec), own.targets)
    return processes.summed_up(tally).metrics()


@torch.inference_mode()
def predict(network: nn.Module, images: ImageSet, spec: InputSpec) -> Tensor:
    """Return the logits (N, num_classes) of all pictures, in their order and on their device.

    Logits beyond the classes of `images`, which are those of strangers, are left out.
    """
    network.eval()
    known = len(images.labels)
    batches = images.images.split(batch_size(spec))
    return torch.cat([network(spec.normalize(batch))[:, :known].float() for batch in batches])


def batch_size(spec: InputSpec) -> int:
    """Return how many pictures are evaluated at a time: fewer for larger inputs, at most 500."""
    return min(EVALUATION_BATCH, max(EVALUATION_PIXELS // (spec.height * spec.width), 1))
