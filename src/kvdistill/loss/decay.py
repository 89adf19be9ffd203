"""A KV weight that falls over the first steps of training."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.loss.balance import Balance


class Decay(Balance):
    """Falls from 1 at step 0 to `floor` at step `steps`, in a straight line, and stays there."""

    def __init__(self, *, steps: int, floor: float) -> None:
        super().__init__()
        if steps < 1:
            raise ConfigError(f"loss.balance.steps must be at least 1 step, got {steps}.")
        if not 0 <= floor <= 1:
            raise ConfigError(f"loss.balance.floor must be in [0, 1], got {floor}.")
        self.steps, self.floor = steps, floor

    def forward(
        self,
        ce: Float[Tensor, ""],
        kv: Float[Tensor, ""],
        shared: Sequence[nn.Parameter],
        step: int,
    ) -> Float[Tensor, ""]:
        # From the step alone, so that a resumed run goes on as if it had never stopped.
        self.factor.fill_(max(1 - step / self.steps, 0.0) * (1 - self.floor) + self.floor)
        return self.factor.clone()
