"""What a run reads of its teachers, and so which artefacts it needs, what it costs and holds."""

from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("hydra")
STORED = ("source=store",)


def compose(*overrides: str) -> dict[str, Any]:
    from kvdistill.config.compose import compose

    return compose(list(overrides))


def list_roles(*overrides: str) -> dict[str, str]:
    """Role -> name of every artefact of a teacher."""
    from kvdistill.plan.graph import list_artifacts

    kinds = ("calibration.", "kv.", "states.")
    return {
        role: node.name
        for role, node in list_artifacts(compose(*overrides))
        if role.startswith(kinds)
    }


@pytest.mark.parametrize(
    ("overrides", "kv", "answers"),
    [
        (("arm=sft",), False, False),
        (("arm=multi_teacher",), True, False),
        # Every room runs, though nothing of them counts.
        (("arm=ce_only",), True, False),
        (("arm=logit_kd",), False, True),
        (("arm=ce_kl_kv",), True, True),
        (("arm=kv_and_logits",), True, True),
        (("arm=multi_teacher", "logits=jsd", "logits.weight=0.0"), True, False),
    ],
    ids=str,
)
def test_an_arm_says_what_it_reads(overrides: tuple[str, ...], kv: bool, answers: bool) -> None:
    from kvdistill.plan.teaching.signals import matches_kv, reads_answers

    config = compose(*overrides)
    assert (matches_kv(config), reads_answers(config)) == (kv, answers)


def test_a_fusion_that_weighs_competence_has_the_teachers_run_to_their_heads() -> None:
    from kvdistill.plan.teaching.signals import find_competence, reads_answers

    config = compose("arm=multi_teacher")
    assert find_competence(config["fusion"]) is None
    inner = {"stages": {"last": {"competence": "ce"}}}
    assert find_competence(inner) == "ce"
    assert reads_answers({**config, "fusion": inner})
    # Without K and V there is no fusion of them.
    assert not reads_answers({**config, "fusion": inner, "kv": {"keys": 0.0, "values": 0.0}})


@pytest.mark.integration
def test_states_of_answers_are_an_artefact_of_their_own() -> None:
    both, alone = list_roles("arm=ce_kl_kv", *STORED), list_roles("arm=logit_kd", *STORED)
    plain = list_roles("arm=multi_teacher", *STORED)
    assert sorted(alone) == ["states.a", "states.b"]
    # Shared whatever else is read, and K and V keep the names that they had.
    assert both == plain | alone
    assert not list_roles("arm=logit_kd")
    other = list_roles("arm=logit_kd", *STORED, "source.stored.states=float32")
    assert set(other.values()).isdisjoint(alone.values())
    cached = list_roles("arm=multi_teacher", *STORED, "source.stored.states=float32")
    assert cached == plain


def test_states_depend_on_no_layer_compression_or_dtype_of_k_and_v() -> None:
    alone = list_roles("arm=logit_kd", *STORED)
    changes = ("layers.range=0-2", "compression.keep=0.25", "source.stored.dtype=int8", "seed=7")
    both = list_roles("arm=ce_kl_kv", *STORED, *changes)
    assert {role: both[role] for role in alone} == alone
    longer = list_roles("arm=logit_kd", *STORED, "budget.seq_len=32")
    assert set(longer.values()).isdisjoint(alone.values())


def test_a_teacher_is_counted_to_its_head_where_its_logits_are_read() -> None:
    from kvdistill.geometry import Geometry
    from kvdistill.plan import flops
    from kvdistill.plan.matching import run_flops

    load = flops.TokenLoad.nominal(4096, 64)
    configs = {
        arm: compose(f"arm={arm}") for arm in ("multi_teacher", "logit_kd", "ce_kl_kv", "sft")
    }
    teacher = configs["logit_kd"]["teachers"]["a"]
    whole = flops.forward_flops(Geometry.from_node(teacher), load)
    counts = {
        arm: run_flops.count_capture_flops(configs[arm], teacher, load)
        for arm in ("multi_teacher", "logit_kd", "ce_kl_kv")
    }
    # keep_last scores nothing.
    assert counts["logit_kd"] == counts["ce_kl_kv"] == whole > counts["multi_teacher"]
    steps = {arm: run_flops.count_step_flops(config) for arm, config in configs.items()}
    assert steps["sft"] < steps["multi_teacher"] < steps["logit_kd"] == steps["ce_kl_kv"]


def test_of_a_stored_teacher_training_computes_the_head_alone() -> None:
    from kvdistill.geometry import Geometry
    from kvdistill.plan import flops
    from kvdistill.plan.matching import run_flops

    load = flops.TokenLoad.nominal(4096, 64)
    config = compose("arm=logit_kd", *STORED)
    heads = sum(
        flops.head_flops(Geometry.from_node(node), run_flops.scale_load(load, node).tokens)
        for node in config["teachers"].values()
    )
    assert run_flops.count_training_flops(config, load) == heads > 0
    assert run_flops.count_training_flops(compose("arm=multi_teacher", *STORED), load) == 0
    assert set(run_flops.count_token_flops(config)) == {"student", "a", "b"}
    assert set(run_flops.count_token_flops(compose("arm=multi_teacher", *STORED))) == {"student"}


def test_a_step_holds_heads_and_distributions() -> None:
    from kvdistill.plan.resources import run_memory

    untied = [f"teachers.{name}.geometry.tied_embeddings=false" for name in "ab"]
    sft, taught, alone, stored = (
        run_memory.estimate_run_memory(
            compose(*overrides, *([] if "arm=sft" in overrides else untied))
        )
        for overrides in (
            ("arm=sft",), ("arm=multi_teacher",), ("arm=logit_kd",), ("arm=logit_kd", *STORED),
        )
    )  # fmt: skip
    assert sum(alone.teachers.values()) > sum(taught.teachers.values())
    assert 0 < sum(stored.teachers.values()) < sum(alone.teachers.values())
    assert alone.logits > sft.logits
    assert alone.rooms <= taught.rooms


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("arm=multi_teacher", "kv=none"), "kv.keys and kv.values are both 0, so loss.kv_weight=1"),
        (("arm=multi_teacher", "kv=none", "loss.kv_weight=0"), "kv=none and logits=none leave"),
        (("arm=logit_kd", "logits.weight=0"), "kv=none and logits=none leave nothing"),
        (("arm=logit_kd", "teachers=none"), "teachers=none leaves logits.weight=1.0"),
    ],
    ids=str,
)
def test_what_leaves_nothing_to_match_is_refused(overrides: tuple[str, ...], message: str) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=message):
        compose(*overrides)


def test_without_cross_entropy_the_distance_is_the_unit_of_clipping() -> None:
    from kvdistill.plan.identity import clip_science

    assert clip_science(compose("arm=kv_and_logits", "logits.weight=0.25")) == {"clip_norm": 0.25}
    assert clip_science(compose("arm=ce_kl_kv")) == clip_science(compose("arm=multi_teacher"))


@pytest.mark.integration
def test_heads_that_compute_before_the_first_step_alone_cost_no_step_anything() -> None:
    from kvdistill.geometry import Geometry
    from kvdistill.plan.flops import TokenLoad, decoder_flops, forward_flops
    from kvdistill.plan.matching.run_flops import count_capture_flops, count_read_flops
    from kvdistill.plan.teaching.signals import reads_answers, scores_answers

    load = TokenLoad(100, 5000)
    for fusion, scores in (("by_task", False), ("select", True)):
        config = compose(f"fusion={fusion}")
        teacher = config["teachers"]["a"]
        assert reads_answers(config)
        assert scores_answers(config) == scores
        count = (forward_flops if scores else decoder_flops)(Geometry.from_node(teacher), load)
        assert count_read_flops(config, teacher, load) == count
        assert count_capture_flops(config, teacher, load) == count
        stored = compose(f"fusion={fusion}", *STORED)
        assert (count_read_flops(stored, teacher, load) > 0) == scores
