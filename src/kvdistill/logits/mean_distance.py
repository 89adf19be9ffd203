"""The student is compared with each teacher apart, and the distances are averaged.

So its teachers may have vocabularies of their own.
"""

from typing import ClassVar

from kvdistill.logits.stated_weights import StatedWeights


class MeanDistance(StatedWeights):
    """A mean with the weights given, else the fusion's, else uniform."""

    mixes_probabilities: ClassVar[bool] = False
