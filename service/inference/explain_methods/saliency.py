"""Saliency: the gradient of the logit of a class at each pixel.

Simonyan et al. 2013, https://arxiv.org/abs/1312.6034.
"""

from collections.abc import Sequence

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
        [attribution] = self.attribute_all([subject], parameters)
        return attribution

    def attribute_all(
        self, subjects: Sequence[Subject], parameters: Parameters
    ) -> list[Attribution]:
        """Compute the attributions of all images in one backward pass.

        No image's gradient depends on another's logits.
        """
        import torch
        from captum import attr

        batch = torch.cat([each.batch.detach() for each in subjects]).requires_grad_()
        targets = torch.tensor([each.target for each in subjects], device=batch.device)
        method = attr.Saliency(subjects[0].forward)
        values = method.attribute(batch, target=targets)  # (N, C, H, W)
        return [Attribution(each.amax(0)) for each in values]


METHODS.register(Saliency())
