"""Every choice of projection, layers, fusion and loss says what it is, and builds from its YAML."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from kvdistill.config.build import build_node
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.layers.base import LayerMap, LayerPair
from kvdistill.layers.select import select_layers
from kvdistill.loss.base import Distance

CONF = Path(__file__).parents[2] / "conf"


def choices(group):
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def compose_group(group, choice, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+{group}={choice}", *overrides])
    return OmegaConf.to_container(config)[group.split("/")[0]]


def geometry(layers=28):
    return Geometry(
        layers=layers, hidden_size=32, intermediate_size=64, heads=4, kv_heads=2, head_dim=4,
        vocab_size=99,
    )  # fmt: skip


@pytest.mark.parametrize(
    "file",
    [
        file
        for group in ("projection", "layers", "layers/map", "fusion", "loss", "loss/balance", "kv")
        for file in sorted((CONF / group).glob("*.yaml"))
    ],
    ids=lambda file: f"{file.parent.name}/{file.stem}",
)
def test_a_choice_begins_with_a_sentence(file):
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith(".")


@pytest.mark.parametrize("choice", choices("projection"))
def test_a_projection_builds_with_its_settings(choice):
    node = compose_group("projection", choice)
    built = build_node(
        "projection",
        node,
        student=geometry(),
        teacher=geometry(),
        layer_pairs=[LayerPair(0, 0, 0, 0.0)],
    )
    for name in node.keys() - {"_target_", "_partial_"}:
        assert getattr(built, name) == node[name]


@pytest.mark.parametrize("choice", choices("fusion"))
def test_a_fusion_builds_with_its_settings(choice):
    named = ["fusion.teacher=b"] if choice == "best_single" else []
    node = compose_group("fusion", choice, *named)
    build_node("fusion", node, student=geometry(), teachers=["a", "b"], layers=[0, 3])


def test_the_stages_of_staged_are_the_choices_of_those_names():
    node = compose_group("fusion", "staged", "fusion.stages.learnable.router=linear")
    assert list(node["stages"]) == list(node["shares"]) == ["fixed", "similarity", "learnable"]
    for name in ("fixed", "similarity"):
        assert node["stages"][name] == compose_group("fusion", name)
    assert node["stages"]["learnable"]["router"] == "linear"


@pytest.mark.parametrize("choice", choices("loss"))
def test_a_loss_has_its_weights_and_a_distance(choice):
    node = compose_group("loss", choice)
    weights = {name: node[name] for name in ("ce_weight", "kv_weight", "entropy_weight")}
    assert weights == {"ce_weight": 0.5, "kv_weight": 1.0, "entropy_weight": 0.01}
    assert isinstance(build_node("loss.distance", node["distance"]), Distance)


@pytest.mark.parametrize("choice", choices("loss/balance"))
def test_a_balance_builds(choice):
    build_node("loss.balance", compose_group("loss/balance", choice)["balance"])


@pytest.mark.parametrize("choice", choices("layers/map"))
@pytest.mark.parametrize(
    ("layers", "expected"),
    [("all", range(28)), ("shallow", range(12)), ("middle", range(12, 24))],
)
def test_a_range_and_a_map_give_sources(choice, layers, expected):
    node = compose_group("layers", layers, f"layers/map={choice}")
    layer_map = build_node("layers.map", node["map"])
    assert isinstance(layer_map, LayerMap)
    selected = select_layers(node["range"], 28)
    assert selected == tuple(expected)
    assert len(layer_map(selected, student_layers=28, teacher_layers=56)) == len(selected)


def test_anchors_given_on_the_command_line_replace_those_of_the_file():
    node = compose_group("layers", "all", "layers/map=anchors", "layers.map.anchors={0:0,3:6}")
    assert build_node("layers.map", node["map"]).anchor_map == {0: 0, 3: 6}


def test_the_proportional_map_is_the_default():
    node = compose_group("layers", "all")
    assert node["map"]["_target_"] == "kvdistill.layers.proportional.Proportional"


@pytest.mark.parametrize(
    ("choice", "weights"), [("both", (1.0, 1.0)), ("k", (1.0, 0.0)), ("v", (0.0, 1.0))]
)
def test_what_of_a_cache_is_matched(choice, weights):
    node = compose_group("kv", choice)
    assert (node["keys"], node["values"]) == weights


def test_what_a_room_refuses_comes_out_as_it_says_it():
    node = compose_group("fusion", "fixed", "fusion.weights=[0.5,0.4]")
    with pytest.raises(ConfigError, match=r"fusion\.weights=\[0\.5, 0\.4\] .* sum to 1, not 0\.9"):
        build_node("fusion", node, student=geometry(), teachers=["a", "b"], layers=[0])
