"""Configs that no run could have are refused before a plan is made."""

import pytest

from tests.config.test_compose import expect_refusal

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("~fusion", r"fusion must be one of its choices, got none"),
        ("~loss.kv_weight", r"loss\.kv_weight must be given"),
        ("+loss.kv_wieght=2", r"loss\.kv_wieght is no setting\. Did you mean loss\.kv_weight\?"),
        ("+layers.rang=all", r"layers\.rang is no setting\. Did you mean layers\.range\?"),
        ("+sede=1", r"sede is no setting\. Did you mean seed\?"),
        ("loss.entropy_weight=abc", r"loss\.entropy_weight must be a finite number, got 'abc'"),
        ("loss.entropy_weight=inf", r"loss\.entropy_weight must be a finite number, got inf"),
        ("train.warmup_ratio=2", r"train\.warmup_ratio must be from 0 to 1, got 2"),
        ("train.attn_implementation=flash", r"attn_implementation='flash' is none of null, eager"),
        ("train.attn_implementation=flash_attention_2", r"half precision alone.*train\.bf16=true"),
        ("train.linear_ce=fused", r"train\.linear_ce='fused' is none of none, chunked, liger"),
        ("cluster.max_parallel=0", r"cluster\.max_parallel must be at least 1, got 0"),
        ("cluster.threads=-2", r"cluster\.threads must be at least 1, got -2"),
        ("study=a/b", r"study='a/b' must be a folder's name"),
        ("study=../x", r"study='\.\./x' must be a folder's name"),
        ("study=''", r"study='' must be a folder's name"),
        ("root=null", r"root=None must be a folder"),
        ("references=maybe", r"references='maybe' must be true or false"),
        ("student.geometry.layers=abc", r"student\.geometry\.layers='abc' must be a whole number"),
        ("student.geometry.layers=0", r"student\.geometry\.layers must be at least 1, got 0"),
        ("student.geometry.kv_heads=3", r"student\.geometry\.kv_heads=3 must divide .*heads=4"),
        ("teachers.a.geometry.head_dim=7", r"teachers\.a\.geometry\.head_dim=7 must be even"),
        (
            "+teachers.a.tokens_per_student_token=0",
            r"teachers\.a\.tokens_per_student_token=0.* must lie between 0\.1 and 10",
        ),
        (
            "+teachers.a.tokens_per_student_token=many",
            r"teachers\.a\.tokens_per_student_token='many' must be a number",
        ),
        ("teachers=none", r"teachers=none leaves loss\.kv_weight=1\.0 nothing to match"),
        ("~student.geometry.heads", r"student\.geometry\.heads must be given"),
        ("+student.geometry.headz=2", r"headz is no setting of Geometry\. Did you mean"),
    ],
)
def test_it_is_refused_by_name(override: str, says: str) -> None:
    expect_refusal([override], says)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("teachers.a.dtype=float32", r"teachers\.a\.dtype=float32\. Use bfloat16 there, or sdpa"),
        ("student.placement.device=cpu", r"on GPUs alone, but student\.placement\.device=cpu"),
    ],
)
def test_flash_kernels_are_refused_where_they_cannot_compute(override: str, says: str) -> None:
    flash = ["train.attn_implementation=flash_attention_2", "train.bf16=true"]
    half = [f"teachers.{name}.dtype=bfloat16" for name in ("a", "b")]
    expect_refusal([*flash, *half, override], says)


@pytest.mark.parametrize("override", ["study=a.b-c_1+2", "cluster.threads=2", "seed=4294967295"])
def test_what_can_be_is_not(override: str) -> None:
    from kvdistill.config.compose import compose

    compose([override])


def test_an_infinite_number_of_a_strategy_is_refused_before_it_names_a_run() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError
    from kvdistill.plan.identity import run_identity

    with pytest.raises(ConfigError, match=r"projection\.penalty=inf must be a finite number"):
        run_identity(compose(["projection.penalty=inf"]))
