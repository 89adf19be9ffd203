import pytest


def test_builds_what_the_node_names() -> None:
    from kvdistill.config.build import build_node

    made = build_node("x", {"_target_": "kvdistill.layers.proportional.Proportional"})
    assert type(made).__name__ == "Proportional"


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.getcwd"},
        {"_target_": "kvdistill_evil.run"},
        {"_target_": "kvdistill.layers.anchors.Anchors", "anchors": {"_target_": "os.getcwd"}},
    ],
)
def test_nothing_outside_the_package_is_run_however_deep(node: dict) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=r"^x[.a-z]*\._target_ must lie inside kvdistill\."):
        build_node("x", node)


def test_what_the_target_refuses_keeps_its_own_words() -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    node = {"_target_": "kvdistill.models.pretrained.Pretrained", "path": None, "hub": None}
    with pytest.raises(ConfigError, match="exactly one of path and hub"):
        build_node("student.pretrained", node)


def test_an_unknown_field_names_the_path() -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    node = {"_target_": "kvdistill.layers.last.Last", "nonsense": 1}
    with pytest.raises(ConfigError, match=r"^layers\.map\.nonsense is no setting of Last"):
        build_node("layers.map", node)


@pytest.mark.parametrize(
    "name",
    [
        "kvdistill.cluster.run_module.subprocess.run",
        "kvdistill.cluster.run_module.os.system",
        "kvdistill.cluster.run_module.call_in_new_process",
        "kvdistill.files.write_text",
        "kvdistill.config.build.ConfigError",
        "kvdistill.files",
    ],
)
def test_only_a_class_that_the_package_defines_is_built(name: str) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=rf"^x\._target_={name} is no class that a module"):
        build_node("x", {"_target_": name})


@pytest.mark.parametrize("key", ["_args_", "_recursive_", "_convert_"])
def test_hydras_other_ways_past_the_check_are_closed(key: str) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    node = {"_target_": "kvdistill.layers.last.Last", key: []}
    with pytest.raises(ConfigError, match=rf"^x\.{key} is no setting"):
        build_node("x", node)


def test_no_text_is_resolved_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.config.build import build_node
    from kvdistill.errors import ConfigError

    monkeypatch.setenv("HF_TOKEN", "a-secret")
    node = {"_target_": "kvdistill.evaluate.suite.Suite", "name": "${oc.env:HF_TOKEN}"}
    with pytest.raises(ConfigError, match=r"^x\.name='\$\{oc\.env:HF_TOKEN\}' must not hold"):
        build_node("x", node)
