"""What a model says of a chunk of text: a distribution over outcomes that another model has too.

From the chunk's beginning a model either writes the chunk's text, token by token, or another token
first, or begins as the text does and then leaves it. So the outcomes are the text itself, whose
probability is the product of its tokens'; each token that both vocabularies have; and the rest,
which the two share no names for. GOLD (TRL's GOLDTrainer) multiplies every first token by the
probability of the text's later ones instead, which leaves no distribution.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kvdistill.logits.shared_tokens import SideTokens

LEAST_LOG = -80.0
"""Log of the least probability of a token, or of the rest: e^-80 is still a normal float32."""


@dataclass(frozen=True)
class ChunkTokens:
    """Which of a model's tokens spell which chunks."""

    labels: Int[Tensor, " tokens"]
    chunk: Int[Tensor, " tokens"]
    """0, 1, ... ascending; 0 where no chunk is spelt."""
    inside: Bool[Tensor, " tokens"]
    """Whether a chunk is spelt."""
    first: Int[Tensor, " chunks"]
    """The token that each chunk begins with."""

    @classmethod
    def from_numbers(
        cls, labels: Int[Tensor, " tokens"], numbers: Int[np.ndarray, " tokens"]
    ) -> "ChunkTokens":
        """`numbers` ascend, one a chunk, as both models have them; -1 where no chunk is spelt.

        They lie on the CPU, which so waits for no GPU, however many parts a batch is cut into.
        """
        inside = numbers >= 0
        _, first, of_inside = np.unique(numbers[inside], return_index=True, return_inverse=True)
        chunk = np.zeros_like(numbers)
        chunk[inside] = of_inside
        parts = (chunk, inside, inside.nonzero()[0][first])
        return cls(
            labels,
            *(torch.from_numpy(each).to(labels.device, non_blocking=True) for each in parts),
        )

    @property
    def first_labels(self) -> Int[Tensor, " chunks"]:
        """The id of each chunk's first token."""
        return self.labels[self.first]

    def sum_over_chunks(self, x: Float[Tensor, " tokens"]) -> Float[Tensor, " chunks"]:
        """Sums of what each token of a chunk has."""
        zeros = x.new_zeros(len(self.first))
        return zeros.index_add(0, self.chunk, x.masked_fill(~self.inside, 0))


@dataclass(frozen=True)
class ChunkOutcomes:
    """A model's distribution of each chunk."""

    log_probs: Float[Tensor, "chunks outcomes"]
    """Of the text, of each shared token, of all the rest together."""
    rest: Float[Tensor, "chunks rest"]
    """Probability of each outcome of the rest, in no order."""


def read_outcomes(
    log_probs: Float[Tensor, "tokens vocab"],
    tokens: ChunkTokens,
    side: SideTokens,
    columns: tuple[Int[Tensor, " chunks"], Int[Tensor, " chunks"]],
) -> ChunkOutcomes:
    """The outcomes of each chunk, from the model's log-probabilities at the chunks' tokens.

    `columns` are those of the first tokens by which this and the other model spell the chunk, -1
    for a token that is not shared. Neither is an outcome of its own: by one of them the text is
    begun, and what is not the text belongs to the rest.
    """
    own, other = columns
    of_label = log_probs.gather(1, tokens.labels[:, None])[:, 0]
    text = tokens.sum_over_chunks(of_label)
    begun, at_first = of_label[tokens.first], log_probs[tokens.first]
    shared, rest = at_first[:, side.shared], at_first[:, side.rest].exp()
    # Begun as the text and left again: p(first) - p(text), which rounding must not make negative.
    left = begun.exp() * -torch.expm1((text - begun).clamp(max=0))
    strange = shared.gather(1, other.clamp(min=0)[:, None])[:, 0].exp()
    strange = strange.masked_fill((other < 0) | (other == own), 0)
    begins_text = side.rest == tokens.first_labels[:, None]
    rest = torch.cat([rest.masked_fill(begins_text, 0), left[:, None], strange[:, None]], dim=1)
    places = torch.arange(shared.shape[1], device=shared.device)
    taken = (places == own[:, None]) | (places == other[:, None])
    together = rest.sum(dim=1).clamp(min=math.exp(LEAST_LOG)).log()
    # The text's own is left as it is: of a long chunk it may be less, and is learnt from.
    named = shared.masked_fill(taken, LEAST_LOG).clamp(min=LEAST_LOG)
    return ChunkOutcomes(torch.cat([text[:, None], named, together[:, None]], dim=1), rest)


def measure_sorted_masses(
    own: Float[Tensor, "chunks own_rest"], other: Float[Tensor, "chunks other_rest"], top: int
) -> Float[Tensor, " chunks"]:
    """L1 distance between two sets of probabilities by rank, the `top` largest one by one.

    Those behind them are compared as one sum. By rank, since nothing says which stands for which:
    ULD's Wasserstein-1 distance (Boizard et al., arXiv 2402.12030).
    """
    count = min(top, own.shape[1], other.shape[1])
    largest = [masses.topk(count, dim=1).values for masses in (own, other)]
    behind = [
        masses.sum(dim=1) - some.sum(dim=1)
        for masses, some in zip((own, other), largest, strict=True)
    ]
    return (largest[0] - largest[1]).abs().sum(dim=1) + (behind[0] - behind[1]).abs()
