"""The teachers' probabilities are mixed into one target distribution.

log p(v) = log sum_i w_i p_i(v), as AReaL mixes its teachers; a student that follows it covers what
any of them holds likely.
"""

from typing import ClassVar

from kvdistill.logits.stated_weights import StatedWeights


class Averaged(StatedWeights):
    """A mixture with the weights given, else the fusion's, else uniform."""

    mixes_probabilities: ClassVar[bool] = True
