"""Models that are read from a GGUF file need its conversion, which names nothing else."""

from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("hydra")

GEOMETRY = {
    "layers": 4, "hidden_size": 16, "intermediate_size": 32, "heads": 4, "kv_heads": 2,
    "head_dim": 4, "vocab_size": 300, "tied_embeddings": True,
}  # fmt: skip


def make_node(name: str = "own", dtype: str = "float32", **source: Any) -> dict[str, Any]:
    place = {"path": "/anywhere", "gguf_file": "a.gguf", "sha256": "a" * 64} | source
    return {
        "name": name,
        "pretrained": {"_target_": "kvdistill.models.pretrained.Pretrained"} | place,
        "geometry": GEOMETRY,
        "dtype": dtype,
        "placement": {"device": "auto", "shard": "none"},
    }


def list_nodes(*overrides: str, student: Any = None, **teachers: Any) -> dict[str, Any]:
    from kvdistill.config.compose import compose
    from kvdistill.plan.graph import list_artifacts

    config = dict(compose(list(overrides)))
    config["student"] = student or make_node()
    config["teachers"] = {**config["teachers"], **teachers}
    return dict(list_artifacts(config))


def test_each_is_converted_once_and_read_by_all_that_reads_the_model() -> None:
    nodes = list_nodes("source=store", a=make_node("t", "bfloat16"), b=make_node("u"))
    assert nodes["student"].kind == nodes["teacher.a"].kind == "conversion"
    assert nodes["student"].name == nodes["teacher.b"].name != nodes["teacher.a"].name
    for kind in ("calibration", "kv"):
        for teacher in ("a", "b"):
            needs = nodes[f"{kind}.{teacher}"].needs
            assert needs["student"] == nodes["student"].name
            assert needs["teacher.only"] == nodes[f"teacher.{teacher}"].name
    order = list(nodes)
    assert order.index("teacher.b") < order.index("calibration.a")


def test_a_teacher_that_writes_answers_is_read_from_its_conversion() -> None:
    nodes = list_nodes("data.answers=teacher", a=make_node("t"))
    assert nodes["answers.a"].needs["teacher.only"] == nodes["teacher.a"].name


@pytest.mark.parametrize("overrides", [("source=store",), ("data.answers=teacher",)])
def test_it_names_no_other_artefact(
    monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    from kvdistill.plan import graph

    now = list_nodes(*overrides, a=make_node("t"))
    monkeypatch.setattr(graph, "reads_gguf", lambda _: False)
    before = list_nodes(*overrides, a=make_node("t"))
    assert now.keys() - before.keys() == {"student", "teacher.a"}
    assert {role: now[role].name for role in before} == {
        role: node.name for role, node in before.items()
    }


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"name": "x", "path": "/elsewhere"}, True),
        ({"dtype": "bfloat16"}, False),
        ({"gguf_file": "b.gguf"}, False),
        ({"sha256": "b" * 64}, False),
    ],
)
def test_content_and_dtype_name_it_and_its_place_does_not(
    other: dict[str, str], same: bool
) -> None:
    name = list_nodes(student=make_node())["student"].name
    assert (list_nodes(student=make_node(**other))["student"].name == name) is same


def test_an_untrained_model_is_converted_too_and_no_other_folder_is() -> None:
    assert list_nodes("arm=raw_student")["student"].kind == "conversion"
    assert "student" not in list_nodes(student=make_node(gguf_file=None))


def test_on_a_cluster_of_gpus_it_gets_memory_for_the_model_twice_and_no_gpu() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.config.schema import read_group
    from kvdistill.plan.graph import make_conversion_node
    from kvdistill.plan.resources.task_needs import CPU_JOB_BYTES, derive_task_needs

    estimate = read_group("estimate", compose(["scale=paper"])["estimate"])
    large = make_node()
    large["geometry"] = GEOMETRY | {"layers": 80, "hidden_size": 8192, "intermediate_size": 28672}
    small, needs = (
        derive_task_needs(make_conversion_node(node), estimate, 1) for node in (make_node(), large)
    )
    assert (small.gpus, small.memory_bytes) == (0, CPU_JOB_BYTES)
    weights = 80 * 3 * 8192 * 28672 * 4  # of its MLPs alone
    assert needs.gpus == 0
    assert 2 * weights < needs.memory_bytes < 4 * weights
