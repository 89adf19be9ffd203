"""A rotation and one scale: the teacher's geometry kept, its basis turned to the student's.

W = s Q with Q = U V^T from the singular value decomposition U S V^T of C_xy, the semi-orthogonal
matrix with the largest E<x Q, y> (Schoenemann 1966), and s = tr(S) / tr(Q^T C_xx Q), the
least-squares scale for that Q.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.errors import UserError
from kvdistill.kv.moments import Moments
from kvdistill.projection.base import ClosedForm


class Procrustes(ClosedForm):
    """Scaled semi-orthogonal maps."""

    def solve_map(self, moments: Moments) -> Float[Tensor, "teacher_width student_width"]:
        left, singular_values, right = torch.linalg.svd(moments.cov_xy, full_matrices=False)
        rotation = left @ right
        variance = (rotation * (moments.cov_xx @ rotation)).sum()
        # Not `<= 0`: without any token the variance is NaN.
        if not variance > 0:
            raise UserError(
                f"projection=procrustes cannot be fitted on {int(moments.count)} calibration "
                f"tokens that do not vary. Use more calibration rows, or an alignment that covers "
                f"more tokens."
            )
        return rotation * (singular_values.sum() / variance)
