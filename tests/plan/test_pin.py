"""Branches of the hub become commits before anything runs; a plan asks no network."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

COMMIT, LATER = "a" * 40, "b" * 40
NODE = {"_target_": "kvdistill.models.pretrained.Pretrained", "hub": "one/model"}


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local cache, and a hub that cannot be reached; returns the cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def write_cached_ref(cache: Path, folder: str, commit: str = COMMIT) -> None:
    (cache / folder / "refs").mkdir(parents=True)
    (cache / folder / "refs" / "main").write_text(commit)


def test_the_hub_is_asked_first_and_once(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    from kvdistill.plan.pin import Pins

    write_cached_ref(no_network, "models--one--model")
    requests = []

    class Hub:
        def repo_info(self, name: str, **how: object) -> object:
            requests.append((name, how["repo_type"], how["revision"]))
            return SimpleNamespace(sha=LATER)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    pins = Pins()
    nodes = pins({"student": {"pretrained": NODE}, "teachers": [{**NODE, "revision": "main"}]})
    assert nodes["student"]["pretrained"]["revision"] == LATER
    assert nodes["teachers"][0]["revision"] == LATER
    assert requests == [("one/model", "model", "main")]


def test_without_a_network_the_cache_says_what_was_fetched(no_network: Path) -> None:
    from kvdistill.plan.pin import pin_config

    write_cached_ref(no_network, "models--one--model")
    write_cached_ref(no_network, "datasets--one--rows", LATER)
    assert pin_config({"m": NODE, "d": {"hub": "one/rows", "revision": "main"}}) == {
        "m": {**NODE, "revision": COMMIT},
        "d": {"hub": "one/rows", "revision": LATER},
    }


@pytest.mark.usefixtures("hydra")
def test_what_was_fetched_can_be_planned_without_a_network(
    no_network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download by commit alone would leave an offline machine without the branch's meaning."""
    import huggingface_hub

    from kvdistill.cli import fetch
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.hub import Repo

    class Hub:
        def repo_info(self, name: str, **_: object) -> object:
            return SimpleNamespace(sha=COMMIT if "Qwen" in name else LATER)

    sweeps = Path(__file__).parents[2] / "sweeps"
    overrides = ["scale=paper", "arm=single_teacher", "references=false"]
    with monkeypatch.context() as online:
        online.setattr(huggingface_hub, "HfApi", Hub)
        online.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: "")
        online.setattr(fetch, "call_in_new_process", lambda *_: [])
        plan = expand_command([overrides], sweeps)
        fetch.fetch_plan(plan)
    assert plan.commits[Repo("Qwen/Qwen2.5-7B", "model", "main")] == COMMIT
    assert plan.commits[Repo("openai/gsm8k", "dataset", "main")] == LATER
    assert set(expand_command([overrides], sweeps).runs) == set(plan.runs)


def test_a_branch_without_a_commit_is_refused_with_the_way_out(no_network: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.pin import Pins

    says = (
        r"^teachers\.a\.pretrained\.revision=main of one/model must become a commit before "
        r"anything runs.*OfflineModeIsEnabled.*Give the commit itself, or fetch one/model"
    )
    with pytest.raises(ConfigError, match=says):
        Pins()({"teachers": {"a": {"pretrained": NODE}}})


def test_a_plan_only_says_so(no_network: Path) -> None:
    from kvdistill.plan.pin import Pins

    pins = Pins(strict=False)
    assert pins({"m": NODE}) == {"m": NODE}
    assert list(pins.unresolved) == ["one/model@main"]


def test_a_plan_never_asks_the_hub(monkeypatch: pytest.MonkeyPatch, no_network: Path) -> None:
    import huggingface_hub

    from kvdistill.plan.pin import Pins

    monkeypatch.setattr(huggingface_hub, "HfApi", None)
    Pins(strict=False)({"m": NODE})


def test_a_commit_needs_no_hub(no_network: Path) -> None:
    from kvdistill.plan.pin import pin_config

    node = {**NODE, "revision": COMMIT}
    assert pin_config({"m": node}) == {"m": node}


def test_a_folder_of_copies_needs_no_hub(no_network: Path) -> None:
    from kvdistill.plan.pin import pin_config

    parts = {"one": {"hub": "one/rows", "revision": "main"}}
    node = {"_target_": "kvdistill.x", "root": str(no_network), "parts": parts}
    assert pin_config({"source": node})["source"]["parts"] == parts


@pytest.mark.usefixtures("hydra")
def test_another_commit_is_another_run(no_network: Path) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity
    from kvdistill.plan.pin import pin_config

    copies = [f"{group}={no_network / 'datasets'}" for group in ("data.root", "tasks.data_root")]
    for name in ("Qwen--Qwen2.5-1.5B", "Qwen--Qwen2.5-7B", "meta-llama--Llama-3.1-8B"):
        write_cached_ref(no_network, f"models--{name}")
    (no_network / "datasets").mkdir()
    config = compose(["scale=paper", *copies])
    before = run_identity(pin_config(config))
    (no_network / "models--Qwen--Qwen2.5-7B/refs/main").write_text(LATER)
    assert run_identity(pin_config(config)) != before
    assert re.fullmatch("[0-9a-f]{12}", before)


def test_weights_are_loaded_at_a_commit_only() -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.models.pretrained import Pretrained

    with pytest.raises(ConfigError, match=r"revision must pin one/model to a commit, got main"):
        Pretrained(hub="one/model", revision="main")
    assert Pretrained(hub="one/model", revision=COMMIT).load_kwargs["revision"] == COMMIT


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone", "does not exist"),
        ("pipe", "is a device or a pipe"),
        ("x" * 300, "is no name that a file can have"),
    ],
    ids=["missing", "pipe", "long"],
)
def test_a_path_that_cannot_be_read_is_refused_by_its_setting(
    name: str, says: str, tmp_path: Path
) -> None:
    import os

    from kvdistill.errors import ConfigError
    from kvdistill.plan.pin import Pins

    os.mkfifo(tmp_path / "pipe")
    node = {"_target_": "kvdistill.data.sources.jsonl.Jsonl", "path": str(tmp_path / name)}
    with pytest.raises(ConfigError, match=rf"^data\.source\.path=.*{says}"):
        Pins()(node, "data.source.")


SUITE = {"_target_": "kvdistill.evaluate.suite.Suite", "beside": [], "data_root": None}


def test_benchmarks_of_the_hub_are_pinned_and_those_of_a_local_copy_are_not(
    no_network: Path,
) -> None:
    from kvdistill.plan.pin import pin_config

    write_cached_ref(no_network, "datasets--openai--gsm8k")
    node = {"tasks": {**SUITE, "tasks": ["gsm8k", "gsm8k_zero", "nano_logic"]}}
    assert pin_config(node)["tasks"]["revisions"] == {"openai/gsm8k": COMMIT}
    node["tasks"] |= {"tasks": ["gsm8k", "math500"], "data_root": "copies"}
    assert "revisions" not in pin_config(node)["tasks"]


def test_a_benchmark_that_cannot_be_had_is_refused_before_anything_runs(no_network: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.pin import Pins

    node = {"tasks": {**SUITE, "tasks": ["math500"]}}
    with pytest.raises(ConfigError, match=r"HuggingFaceH4/MATH-500 .*Give tasks.data_root"):
        Pins()(node)
    pins = Pins(strict=False)
    assert pins(node)["tasks"]["revisions"] == {}
    assert list(pins.unresolved) == ["HuggingFaceH4/MATH-500@main"]


def test_another_protocol_of_a_task_is_another_run_and_another_place_of_its_rows_is_not() -> None:
    from kvdistill.plan.identity import hash_science, leave_out_defaults, tasks_science

    def identify(**node: object) -> str:
        return hash_science(leave_out_defaults({"tasks": tasks_science({"tasks": node})}))

    old = identify(name="s", data_root=None)
    assert identify(name="s", data_root="a", revisions={"x": COMMIT}, versions={}) == old
    assert identify(name="s", data_root=None, counterparts=False) == old
    assert identify(name="s", data_root=None, versions={"gsm8k": "2.0"}) != old
