"""What the fusion did: mean weight by task, teacher and layer, for the report's heat map."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


class Routing:
    """Sums each sample's mean weights under its task; one with no valid token counts nothing."""

    def __init__(self, *, teachers: Sequence[str], layers: Sequence[int]) -> None:
        """Names in the order of the weights."""
        self.teachers, self.layers = list(teachers), list(layers)
        self.sums: dict[str, Float[Tensor, "layers teachers"]] = {}
        self.counts: dict[str, Float[Tensor, " layers"]] = {}

    def add_batch(
        self, weights: Float[Tensor, "layers teachers batch"], tasks: Sequence[str]
    ) -> None:
        """Counts a batch in; `tasks` are its samples' in order."""
        weights = weights.detach().double().cpu()
        covered = (weights.sum(dim=1) > 0).double()
        for index, task in enumerate(tasks):
            nothing = torch.zeros_like(weights[:, :, 0]), torch.zeros_like(covered[:, 0])
            self.sums[task] = self.sums.get(task, nothing[0]) + weights[:, :, index]
            self.counts[task] = self.counts.get(task, nothing[1]) + covered[:, index]

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
