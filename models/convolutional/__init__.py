"""The fully convolutional form of a classifier, which answers an image of any size with a map.

    network → one forward pass, operator by operator → `Form`: its operators as ones that slide
      rules: dense layers → convolutions, pooling over everything → a sliding window
    image, scaled so that the input's window fits → `Form` at shifted places → `ClassMap`

Each place of the map is the answer for the window of the input's size that begins there, except
that convolutions see what lies around the window where they would see padding. At the input's own
size the map is one place, the network's answer. Sermanet et al. 2014 (OverFeat),
https://arxiv.org/abs/1312.6229; Long, Shelhamer and Darrell 2015,
https://arxiv.org/abs/1411.4038.
"""
