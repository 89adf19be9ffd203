"""A low-rank bridge: the teacher's principal components, mapped to the student by least squares.

W = U (U^T C_xx U)^-1 U^T C_xy, U being the `rank` leading eigenvectors of C_xx: principal component
regression. What of the student the teacher's small directions predict is left out, noise or not;
ridge only shrinks it. The idea is the frozen bridge of on-policy representation distillation
(arXiv 2606.06021), there of rank 8, and of rank 4 across tokenizers.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.errors import ConfigError, UserError
from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.projection.base import ClosedForm


class LowRank(ClosedForm):
    """Least-squares maps of the teacher's `rank` principal components, solved once and frozen."""

    def __init__(
        self,
        *,
        student: Geometry,
        teacher: Geometry,
        layer_pairs: Sequence[LayerPair],
        rank: int,
    ) -> None:
        """Raises ConfigError for a rank that the teacher's K and V cannot have."""
        super().__init__(student=student, teacher=teacher, layer_pairs=layer_pairs)
        if not 1 <= rank <= teacher.kv_width:
            raise ConfigError(
                f"projection.rank={rank} must be from 1 to {teacher.kv_width}, the numbers of the "
                f"teacher's keys over all heads. 8 is usual; projection=ridge takes all."
            )
        self.rank = rank

    def solve_map(self, moments: Moments) -> Float[Tensor, "teacher_width student_width"]:
        """Raises UserError where the calibration tokens span fewer directions than `rank`."""
        cov = moments.cov_xx
        # Without any token it is NaN, which has no eigenvectors.
        if not (moments.count > 0 and count_directions(cov) >= self.rank):
            raise UserError(
                f"projection=low_rank cannot be fitted on {int(moments.count)} calibration tokens "
                f"that vary in fewer than projection.rank={self.rank} directions. Lower "
                f"projection.rank, or use more calibration rows."
            )
        variances, directions = torch.linalg.eigh(cov)  # ascending
        variances, directions = variances[-self.rank :], directions[:, -self.rank :]
        # U^T C_xx U is the diagonal of the variances: its inverse is a division.
        return directions @ (directions.T @ moments.cov_xy / variances[:, None])


def count_directions(cov: Float[Tensor, "width width"]) -> int:
    """In how many directions rows vary; what rounding leaves of a variance of 0 is none."""
    return int(torch.linalg.matrix_rank(cov, hermitian=True))
