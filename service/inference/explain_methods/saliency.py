"""Saliency: the gradient of the logit of a class at each pixel.

Simonyan et al. 2013, https://arxiv.org/abs/1312.6034.
"""

from service.inference.explain_methods.method import (
    METHODS,
    Attribution,
    ExplainMethod,
    Parameters,
    Subject,
)


class Saliency(ExplainMethod[Parameters]):
    name = "saliency"
    title = "Saliency"
    description = (
        "The gradient of the target's logit at each pixel, its largest channel: 0 or more."
    )
    model = Parameters

    def attribute(self, subject: Subject, parameters: Parameters) -> Attribution:
        from captum import attr

        method = attr.Saliency(subject.forward)
        values = method.attribute(subject.batch, target=subject.target)  # (1, C, H, W)
        return Attribution(values[0].amax(0))


METHODS.register(Saliency())
