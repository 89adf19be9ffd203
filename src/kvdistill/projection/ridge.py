"""Ridge regression of the student's K and V on the teacher's, solved once and frozen.

W = (C_xx + penalty tr(C_xx)/d I)^-1 C_xy over calibration tokens. A frozen map cannot move the
target towards the student, which is how a trainable one reaches agreement on unrelated inputs.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.projection.base import ClosedForm, check_penalty


class Ridge(ClosedForm):
    """Least-squares maps; `penalty` is relative to the teacher's mean variance."""

    def __init__(
        self,
        *,
        student: Geometry,
        teacher: Geometry,
        layer_pairs: Sequence[LayerPair],
        penalty: float,
    ) -> None:
        super().__init__(student=student, teacher=teacher, layer_pairs=layer_pairs)
        self.penalty = check_penalty(penalty)

    def solve_map(self, moments: Moments) -> Float[Tensor, "teacher_width student_width"]:
        return moments.fit_ridge(self.penalty)
