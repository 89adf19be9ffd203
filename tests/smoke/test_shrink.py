"""An arm in the small has its own shapes, and with random weights reads nothing from a network."""

import json
from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")


def shrink_command(*overrides: str, **settings: Any) -> tuple[Any, Any]:
    """(the config of a command's one trained run, the same for a smoke job)."""
    from kvdistill.config.schema import SmokeSettings
    from kvdistill.plan.expand import expand_command
    from kvdistill.smoke.shrink import shrink_config

    given = {"steps": 20, "weights": "random", "items": 4, "memory_slack": 0.1}
    plan = expand_command([["stage=smoke", "references=false", *overrides]], SWEEPS)
    (run,) = plan.runs.values()
    chosen = SmokeSettings(**(given | {"resume_slack": None} | settings))
    return run.config, shrink_config(run.config, chosen)


@pytest.mark.parametrize("scale", ["nano", "paper"])
def test_shapes_batch_and_rooms_stay_and_steps_are_as_asked(scale: str) -> None:
    from kvdistill.config.schema import read_group
    from kvdistill.plan.budget import unified_steps
    from kvdistill.plan.resources.run_memory import estimate_run_memory

    config, small = shrink_command(f"scale={scale}", "fusion=learnable")
    assert unified_steps(read_group("budget", small["budget"])) == 20
    assert small["train"]["save_steps"] == 10
    assert small["tasks"]["limit"] == 4
    for key in ("batch_size", "seq_len", "num_gpus", "grad_accum"):
        assert small["budget"][key] == config["budget"][key]
    rooms = ("fusion", "compression", "alignment", "projection", "layers", "loss", "cluster")
    assert {key: small[key] for key in rooms} == {key: config[key] for key in rooms}
    # What the plan foretells of the arm holds for its smoke run.
    assert estimate_run_memory(small) == estimate_run_memory(config)
    assert config["budget"]["total_tokens"] > small["budget"]["total_tokens"], "a copy was made"


def test_random_weights_name_no_file_and_no_repository() -> None:
    _, small = shrink_command("scale=paper", "teachers=cross_family")
    read = json.dumps({key: small[key] for key in ("student", "teachers", "data")})
    assert '"hub"' not in read
    assert '"path"' not in read
    weights = [node["pretrained"] for node in small["teachers"].values()]
    assert [node["architecture"] for node in weights] == ["qwen2", "llama"]
    assert len({node["seed"] for node in weights}) == 2
    assert len({node["max_digits"] for node in weights}) == 2, "two tokenizers"


def test_real_weights_and_texts_stay_as_the_command_has_them() -> None:
    config, small = shrink_command(weights="real")
    for key in ("student", "teachers", "data", "style"):
        assert small[key] == config[key]


def test_a_chat_style_is_read_plainly_by_a_tokenizer_without_a_template() -> None:
    from kvdistill.smoke.shrink import list_styles

    _, small = shrink_command("source=store")
    styles = list_styles(small)
    assert len(styles) == 2
    assert not any(style["chat"] for style in styles)
