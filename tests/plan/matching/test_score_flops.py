"""Counted FLOPs of presses against what torch's own counter sees in their scores."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from kvdistill.compression.base import HeadCompression
from kvdistill.config.build import resolve_target
from kvdistill.geometry import Geometry
from kvdistill.plan.flops import TokenLoad
from kvdistill.plan.matching.run_flops import count_capture_flops
from kvdistill.plan.matching.score_flops import COUNTS, count_score_flops
from tests.compression.layers import DIM, GROUP, HEADS, layer
from tests.train.conftest import TEACHERS, composed_config

BATCH, SEQ = 3, 16
TEACHER = Geometry(
    layers=2, hidden_size=8, intermediate_size=8, heads=HEADS * GROUP, kv_heads=HEADS,
    head_dim=DIM, vocab_size=9, tied_embeddings=True,
)  # fmt: skip
PRESSES = ("expected_attention", "h2o", "kava", "key_diff", "knorm", "r_kv", "snap_kv", "tova")


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("press", PRESSES)
def test_scores_cost_what_torch_counts(press: str) -> None:
    from kvdistill.config.build import build_node

    node = composed_config(f"compression={press}")["compression"]
    compression = build_node("compression", node)
    one = layer([SEQ] * BATCH, pad=0.0, answer_from=0.0)
    with FlopCounterMode(display=False) as counter:
        compression.score_heads(one)
    load = TokenLoad.nominal(BATCH * SEQ, SEQ)
    assert count_score_flops(node, TEACHER, load) == counter.get_total_flops()


def test_what_is_counted_are_presses() -> None:
    for target in COUNTS:
        assert issubclass(resolve_target("compression", {"_target_": target}), HeadCompression)


@pytest.mark.usefixtures("hydra")
def test_a_run_pays_for_the_scores_of_every_layer_that_it_reads() -> None:
    def count(press: str) -> int:
        config = composed_config(f"compression={press}", teachers=("b",))
        return count_capture_flops(config, config["teachers"]["b"], TokenLoad.nominal(64, 32))

    node = composed_config("compression=h2o")["compression"]
    each = count_score_flops(node, Geometry(**TEACHERS["b"]), TokenLoad.nominal(64, 32))
    assert each > 0
    # Three student layers read all four of the teacher's.
    assert count("h2o") == count("keep_last") + 4 * each
