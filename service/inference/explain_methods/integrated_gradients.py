"""Integrated gradients: the mean gradient on the way from a flat image to the given one.

Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365.
"""

from collections.abc import Sequence

from pydantic import Field

from models.preprocessing import InputSpec
from service.inference.explain_methods.method import (
    METHODS,
    Attribution,
    BaselineParameter,
    ExplainMethod,
    Parameters,
    Subject,
    baseline_everywhere,
)

MAX_STEPS = 256  # each is a pass forwards and back


class IntegratedGradientsParameters(Parameters):
    steps: int = Field(32, ge=2, le=MAX_STEPS, description="of integrated gradients")
    baseline: BaselineParameter = "black"


class IntegratedGradients(ExplainMethod[IntegratedGradientsParameters]):
    name = "integrated-gradients"
    title = "Integrated gradients"
    description = (
        "The gradients on the way from a flat image to this one; they sum up to the difference of "
        "the logits, and are negative where a pixel speaks against the target."
    )
    model = IntegratedGradientsParameters

    def passes(self, parameters: IntegratedGradientsParameters, spec: InputSpec) -> int:
        return parameters.steps + 2  # both ends, for the convergence delta

    def attribute(self, subject: Subject, parameters: IntegratedGradientsParameters) -> Attribution:
        [attribution] = self.attribute_all([subject], parameters)
        return attribution

    def attribute_all(
        self, subjects: Sequence[Subject], parameters: IntegratedGradientsParameters
    ) -> list[Attribution]:
        """Compute the attributions of all images; their steps share batches."""
        import torch
        from captum import attr

        first = subjects[0]
        batch = torch.cat([each.batch.detach() for each in subjects])  # (N, C, H, W)
        baseline = first.baseline(parameters.baseline)
        values, deltas = attr.IntegratedGradients(first.forward).attribute(
            batch,
            baselines=baseline.expand_as(batch),
            target=torch.tensor([each.target for each in subjects], device=batch.device),
            n_steps=parameters.steps,
            internal_batch_size=max(first.batch_size, len(subjects)),
            return_convergence_delta=True,
        )  # (N, C, H, W) and (N,)
        sums = values.sum(1).detach()  # (N, H, W)
        is_baseline = (batch == baseline).flatten(1).all(1).tolist()
        nothing = baseline_everywhere(parameters.baseline)
        return [
            Attribution(each, delta, reason=nothing if is_flat else None)
            for each, delta, is_flat in zip(sums, deltas.tolist(), is_baseline, strict=True)
        ]


METHODS.register(IntegratedGradients())
