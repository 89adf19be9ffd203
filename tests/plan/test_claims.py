import pytest


def test_the_teacher_of_an_arm_is_named_whatever_the_scale() -> None:
    from kvdistill.plan.claims import resolve_claims

    node = {"name": "near", "arm": "learnable", "baseline": "the teacher of single"}
    teachers = {"learnable": ["a", "b"], "single": ["nano-small"]}
    claims = resolve_claims({"criteria": [node], "primary": {"arm": "x"}}, teachers, "treatments")
    assert claims["criteria"] == [{**node, "baseline": "teacher nano-small"}]
    assert claims["primary"] == {"arm": "x"}
    assert node["baseline"] == "the teacher of single"


@pytest.mark.parametrize(("label", "has"), [("learnable", "a, b"), ("nosuch", "none")])
def test_an_arm_without_exactly_one_teacher_is_refused(label: str, has: str) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.claims import resolve_claims

    node = {"name": "near", "arm": f"the teacher of {label}"}
    says = rf"^treatments\.hypotheses\.arm=the teacher of {label}: .* and has {has}\."
    with pytest.raises(ConfigError, match=says):
        resolve_claims({"hypotheses": [node]}, {"learnable": ["a", "b"]}, "treatments")


@pytest.mark.usefixtures("hydra")
def test_a_plan_holds_the_name(sweeps) -> None:
    from kvdistill.plan.expand import expand_command

    plan = expand_command([["sweep=treatments"]], sweeps)
    names = {claim.get("baseline") for claim in plan.questions["treatments"].judging["criteria"]}
    assert "teacher nano-small" in names
    assert set(plan.references) >= {"nano-small"}


@pytest.fixture
def sweeps():
    from pathlib import Path

    return Path(__file__).parents[2] / "sweeps"


def test_what_the_command_varies_stands_in_the_claims_labels() -> None:
    """An arm of the file has no runs under its own label then, so its claims would stay pending."""
    from kvdistill.plan.claims import resolve_claims

    node = {"name": "F", "arm": "kv", "baseline": "teacher nano"}
    judging = {"hypotheses": [node], "primary": {"arm": "kv", "baseline": "sft"}}
    points = ["train.lr=1", "train.lr=2"]
    claims = resolve_claims(judging, {"kv": [], "sft": []}, "q", points)
    assert [c["arm"] for c in claims["hypotheses"]] == ["kv train.lr=1", "kv train.lr=2"]
    assert {c["baseline"] for c in claims["hypotheses"]} == {"teacher nano"}
    assert claims["primary"] == {"arm": "kv train.lr=1", "baseline": "sft train.lr=1"}
