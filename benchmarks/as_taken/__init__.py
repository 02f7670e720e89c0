"""Test images as people take them: redrawn, sent through the service's preprocessing, counted.

    data set's image (28, 28) → a scene of a family → encoded file → `models.preprocessing.read`

There are two families of scenes, written apart from each other and from everything that training
uses: `tuning` is what the framing rule and the recipes may be tuned on (with training images);
`held_out` is what is reported (with test images). Circles and crosses are drawn from nothing:
`crosses` has both families of them.
"""
