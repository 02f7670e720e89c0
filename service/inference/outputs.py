"""The outputs of one forward pass for a batch, in one array, which leaves its device in one copy.

    network → logits, embedding → `joined`, all in the same pass → (N, columns) → `split`
    outputs, mirrored images → `looked_again` → outputs

The columns are the probabilities (K), the logits (K), and, if the checkpoint has a statistic for
it, how strange the image is (1). Probabilities are calibrated if the checkpoint has a calibration.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import Checkpoint
from models.features import capture
from models.preprocessing import Pixels
from models.trust import Trust, is_blank

Columns = NDArray[np.float32]


class Outputs(NamedTuple):
    """float32 arrays: probabilities and logits (N, K), and the strangeness (N,) or None."""

    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    strangeness: NDArray[np.float32] | None


def logits_and_embedding(checkpoint: Checkpoint, batch: Tensor) -> tuple[Tensor, Tensor | None]:
    """Run the network for a normalised batch (N, C, H, W): logits (N, K), embedding (N, D).

    The embedding is None where the checkpoint has no use for it.
    """
    layer = embedding_layer(checkpoint)
    if layer is None:
        return checkpoint.network(batch), None
    with capture(checkpoint.network, (layer,), checkpoint.layers) as seen:
        logits = checkpoint.network(batch)
    return logits, seen[layer].flatten(1)


def embedding_layer(checkpoint: Checkpoint) -> str | None:
    """Return the layer whose activation is needed for the strangeness; None if none is needed."""
    trust = checkpoint.trust
    if trust is None or trust.familiarity is None or trust.method is None:
        return None
    return None if trust.method.width() is None else trust.familiarity.layer


def joined(checkpoint: Checkpoint, logits: Tensor, embedding: Tensor | None) -> Tensor:
    """Join probabilities, logits and strangeness as columns: float32 (N, 2 K), or (N, 2 K + 1)."""
    trust, logits = checkpoint.trust, logits.float()
    columns = [logits.softmax(1) if trust is None else trust.probabilities(logits), logits]
    if trust is not None and trust.method is not None:
        features = logits if embedding is None else embedding.float()  # where they are not used
        columns.append(trust.statistic(logits, features).unsqueeze(1))
    return torch.cat(columns, 1)


def split(columns: NDArray[np.float32], num_classes: int) -> Outputs:
    """Split columns (N, 2 K) or (N, 2 K + 1) into outputs, without a copy."""
    end = 2 * num_classes
    strangeness = columns[:, end] if columns.shape[1] > end else None
    return Outputs(columns[:, :num_classes], columns[:, num_classes:end], strangeness)


def looked_again(
    outputs: Outputs, batch: Pixels, trust: Trust | None, run: Callable[[Pixels], Columns]
) -> Outputs:
    """Return the outputs for a batch (N, C, H, W), after a second look at the images that need one.

    `run` computes the columns of the mirrored images. If the trust has no rule for second looks,
    the outputs are returned unchanged. The strangeness stays that of the first look.
    """
    if trust is None or trust.second_look is None:
        return outputs
    num_classes = outputs.logits.shape[1]

    def look(due: NDArray[np.bool_]) -> NDArray[np.float32]:
        mirrored = np.ascontiguousarray(batch[due][..., ::-1])
        return split(run(mirrored), num_classes).logits

    logits = trust.second_look.answer(outputs.logits, look)
    if logits is outputs.logits:
        return outputs
    probabilities = trust.probabilities(torch.from_numpy(logits)).numpy()
    return outputs._replace(probabilities=probabilities, logits=logits)


def without_blank(outputs: Outputs, batch: Pixels, trust: Trust | None) -> Outputs:
    """Set the strangeness of images of one colour to infinity, in place, and return the outputs.

    `batch` is (N, C, H, W). Nothing changes if enough calibration images were of one colour
    (`Trust.knows_blank`), or if there is no strangeness.
    """
    if outputs.strangeness is not None and trust is not None and not trust.knows_blank:
        outputs.strangeness[is_blank(batch)] = np.inf
    return outputs
