"""A network on a set of pictures: pictures → logits → loss and accuracy.

Pictures go through in batches that memory holds, without gradients.
"""

import torch
from torch import Tensor, nn

from models.preprocessing import InputSpec
from training.data.datasets import ImageSet
from training.fitting.evaluation import Metrics, Tally

EVALUATION_BATCH = 500
EVALUATION_PIXELS = EVALUATION_BATCH * 64 * 64  # a batch; what layers give takes much more memory


def evaluate(network: nn.Module, images: ImageSet, spec: InputSpec) -> Metrics:
    """Loss and accuracy over all pictures, NaN where the logits aren't finite.

    Leaves the network in evaluation mode.
    """
    tally = Tally(images.targets.device)
    tally.add(predict(network, images, spec), images.targets)
    return tally.metrics()


@torch.inference_mode()
def predict(network: nn.Module, images: ImageSet, spec: InputSpec) -> Tensor:
    """Logits (N, num_classes) of all pictures, in their order and on their device.

    Logits of classes behind those of the labels, which are strangers', are left out.
    """
    network.eval()
    known = len(images.labels)
    batches = images.images.split(batch_size(spec))
    return torch.cat([network(spec.normalize(batch))[:, :known].float() for batch in batches])


def batch_size(spec: InputSpec) -> int:
    """How many pictures are evaluated at a time."""
    return min(EVALUATION_BATCH, max(EVALUATION_PIXELS // (spec.height * spec.width), 1))
