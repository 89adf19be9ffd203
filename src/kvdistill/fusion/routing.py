"""Mean fusion weight by task, teacher and layer, for the report's heat map."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


class Routing:
    """Sums each sample's mean weights under its task; a sample with no valid token is left out."""

    def __init__(self, *, teachers: Sequence[str], layers: Sequence[int]) -> None:
        """Names in the order of the weights."""
        self.teachers, self.layers = list(teachers), list(layers)
        self.sums: dict[str, Float[Tensor, "layers teachers"]] = {}
        self.counts: dict[str, Float[Tensor, " layers"]] = {}

    def add_batch(
        self, weights: Float[Tensor, "layers teachers batch"], tasks: Sequence[str]
    ) -> None:
        """Adds a batch; `tasks` are those of its samples, in order."""
        # float64: thousands of batches are summed up.
        weights = weights.detach().double().cpu()
        # Weights of a sample sum to 1 over teachers, or to 0 where it has no valid token.
        covered = (weights.sum(dim=1) > 0).double()
        for index, task in enumerate(tasks):
            self.sums[task] = self.sums.get(task, torch.zeros(())) + weights[:, :, index]
            self.counts[task] = self.counts.get(task, torch.zeros(())) + covered[:, index]

    def to_table(self) -> dict[str, dict[str, dict[str, float]]]:
        """Task -> teacher -> layer -> mean weight; a layer without a valid token is left out."""
        return {
            task: {
                teacher: {
                    str(layer): float(total[row, column] / count[row])
                    for row, layer in enumerate(self.layers)
                    if count[row] > 0
                }
                for column, teacher in enumerate(self.teachers)
            }
            for task, total, count in (
                (task, self.sums[task], self.counts[task]) for task in sorted(self.sums)
            )
        }
