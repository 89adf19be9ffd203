"""What is refused before anything is queued, as the submitting process asks for it."""

import json
from pathlib import Path
from typing import Any

import pytest

# transformers renames a property that PEFT still reads under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")

CASES = [
    (["source=random", "source.seed=abc"], r"source\.seed='abc' must be a whole number"),
    (
        ["arm=shuffled_teacher", "budget.batch_size=1"],
        r"budget\.batch_size=1 must be at least 2 for source=shuffled",
    ),
    (["tasks.limit=0"], r"tasks\.limit=0 must be at least 1"),
    (["tasks.batch_size=0"], r"tasks\.batch_size=0 must be at least 1"),
    (["student.dtype=float64"], r"student\.dtype=float64 is none of float32, bfloat16"),
    (["teachers.a.dtype=int3"], r"teachers\.a\.dtype=int3 is none of"),
    (["student.build.max_digits=0"], r"build\.max_digits must be at least 1, got 0"),
    (["teachers.a.build.training.steps=0"], r"build\.training\.steps must be positive, got 0"),
    (["train.lr_scheduler_type=cosin"], r"train\.lr_scheduler_type=cosin is none of linear, cos"),
    (["loss.ce_weight=0", "loss.kv_weight=0"], r"are all 0, so nothing is trained"),
    (["data.source.rows=1.5"], r"data\.source\.rows=1\.5 must be a whole number"),
    (["style.chat=maybe"], r"style\.chat='maybe' must be true or false"),
    (
        ["adapter=lora", "adapter.targets=[q_proj]"],
        r"student: no weight of self_attn\.k_proj in student layer 0 is trained.*Add k_proj to",
    ),
    (
        ["arm=sft", "adapter=lora", "adapter.targets=[c_attn]"],
        r"adapter\.targets names c_attn, which Qwen2ForCausalLM does not have\. Choose of down",
    ),
    (
        ["arm=sft", "data=messages", "data.source.path=README.md", "tasks=own"],
        r"asks for a rationale, and data\.source\.fields\.rationale=null.*Use style=direct",
    ),
    (["arm=raw_student", "tasks.limit=0"], r"tasks\.limit=0 must be at least 1"),
]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(("overrides", "says"), CASES, ids=lambda value: str(value))
def test_a_bad_setting_is_refused(overrides: list[str], says: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError
    from kvdistill.train.preflight import check_run_config

    with pytest.raises(ConfigError, match=says):
        check_run_config(compose(overrides))


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("anchors", ["{0:0,3:4}", "'0:0, 3:4'"])
def test_anchors_are_read_alike_from_the_command_line_and_from_json(anchors: str) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.config.compose import compose
    from kvdistill.train.preflight import check_run_config

    config = compose(["layers/map=anchors", f"layers.map.anchors={anchors}"])
    for each in (config, json.loads(json.dumps(config))):
        check_run_config(each)
        assert build_node("layers.map", each["layers"]["map"]).anchor_map == {0: 0, 3: 4}


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("DeepSeek V3", {"head_dim": 4}, r"teachers\.a: layer 0 of DeepseekV3Model keeps 1 x 16"),
        ("Phi-3", {}, None),
        ("Phi-3", {"heads": 8}, r"teachers\.a\.geometry\.heads is 8 but the model has 4"),
    ],
)
def test_a_teacher_on_disk_is_refused_by_its_config(
    tmp_path: Path, name: str, changes: dict[str, Any], says: str | None
) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError
    from kvdistill.models.geometry import read_geometry
    from kvdistill.train.preflight import check_run_config
    from tests.house.families import build_config

    model = build_config(name)
    model.save_pretrained(tmp_path)
    config = compose(["arm=single_teacher"])
    pretrained = {
        "_target_": "kvdistill.models.pretrained.Pretrained", "path": str(tmp_path),
    }  # fmt: skip
    config["teachers"]["a"] = {
        "name": "own", "pretrained": pretrained, "geometry": read_geometry(model) | changes,
        "dtype": "float32", "placement": {"device": "auto", "shard": "none"},
    }  # fmt: skip
    if says is None:
        check_run_config(config)
        return
    with pytest.raises(ConfigError, match=says):
        check_run_config(config)
