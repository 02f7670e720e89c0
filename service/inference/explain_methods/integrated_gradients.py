"""Integrated gradients: the mean gradient on the way from a flat image to the given one.

Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365.
"""

from pydantic import Field

from service.inference.explain_methods.method import (
    METHODS,
    PASSES_PER_BATCH,
    Attribution,
    BaselineParameter,
    ExplainMethod,
    Parameters,
    Subject,
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

    def attribute(self, subject: Subject, parameters: IntegratedGradientsParameters) -> Attribution:
        from captum import attr

        values, delta = attr.IntegratedGradients(subject.forward).attribute(
            subject.batch,
            baselines=subject.baseline(parameters.baseline),
            target=subject.target,
            n_steps=parameters.steps,
            internal_batch_size=PASSES_PER_BATCH,
            return_convergence_delta=True,
        )  # (1, C, H, W) and (1,)
        return Attribution(values[0].sum(0).detach(), delta.item())


METHODS.register(IntegratedGradients())
