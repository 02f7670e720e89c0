"""Test images as people take them: redrawn, sent through the service's preprocessing, counted.

    data set's image (28, 28) → a scene of a family → encoded file → `models.preprocessing.read`

There are two families of scenes, written independently of each other and of all code that training
uses. The framing rule and the recipes may be tuned on `tuning`, with training images. The reported
figures are those of `held_out`, with test images. Circles and crosses are not redrawn from a data
set: `crosses` draws both families of them.
"""
