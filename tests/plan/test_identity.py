import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


def key(*overrides: str) -> str:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity

    return run_identity(compose(list(overrides)))


@pytest.mark.integration
@pytest.mark.parametrize(
    "override",
    [
        "fusion=similarity",
        "seed=43",
        "train.lr=0.001",
        "loss.kv_weight=2.0",
        "budget.total_tokens=2457600",
        "compression.keep=0.25",
        "alignment=truncate",
        "layers.range=0-2",
        "layers/map=last",
        "kv=k",
        "teachers=same_family",
        "data.source.seed=1",
        "style=cot",
        "source=store",
        "tasks.limit=5",
        "train.tf32=true",
    ],
)
def test_science_makes_another_run(override: str) -> None:
    assert key(override) != key()


@pytest.mark.parametrize(
    "override",
    [
        "study=other",
        "root=/elsewhere",
        "cluster.max_parallel=1",
        "train.logging_steps=1",
        "train.save_steps=7",
        "student.name=x",
        "teachers.a.placement.shard=zero3",
        "references=false",
        "data.validate_only=true",
        "budget.batch_size=32 budget.grad_accum=2",
        "train.attn_implementation=eager",
        "train.torch_compile=true",
        "train.linear_ce=chunked",
        "train.deterministic=true",
    ],
)
def test_execution_does_not(override: str) -> None:
    assert key(*override.split()) == key()


def test_the_order_of_overrides_does_not_matter() -> None:
    assert key("fusion=learnable", "kv=v") == key("kv=v", "fusion=learnable")


def test_the_study_name_for_keep_last_is_the_same_run() -> None:
    assert key("compression=right") == key("compression=keep_last")


def test_heads_that_agree_are_what_was_before_heads_could_keep_their_own() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import compression_science

    assert key("compression=r_kv") == key("compression=r_kv", "compression.heads=mean")
    assert key("compression=r_kv") != key("compression=r_kv", "compression.heads=own")
    # What names calibrations and stores, which other arms share.
    assert "heads" not in compression_science(compose(["compression=r_kv"]))
    own = compose(["compression=r_kv", "compression.heads=own"])
    assert compression_science(own)["heads"] == "own"


def test_one_teacher_is_the_same_run_whichever_arm_names_it() -> None:
    assert key("arm=single_teacher") == key("teachers=single")


def test_the_raw_student_has_no_seed_and_no_budget() -> None:
    assert key("arm=raw_student") == key("arm=raw_student", "seed=7", "budget.total_tokens=8192000")


def test_a_recipe_is_shared_by_its_seeds() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import recipe_identity

    assert recipe_identity(compose(["seed=1"])) == recipe_identity(compose(["seed=2"]))
    assert recipe_identity(compose(["seed=1"])) != recipe_identity(compose(["seed=1", "kv=k"]))


def test_an_option_at_its_introduction_default_forks_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan import identity

    config = compose([])
    before = identity.run_identity(config)
    monkeypatch.setitem(identity.INTRODUCED, "loss.fresh", None)
    config["loss"]["fresh"] = None
    assert identity.run_identity(config) == before
    config["loss"]["fresh"] = 1.0
    assert identity.run_identity(config) != before


def test_another_process_finds_the_same_identity() -> None:
    from kvdistill.config.compose import compose

    code = (
        "import json, sys; from kvdistill.plan.identity import run_identity; "
        "print(run_identity(json.load(sys.stdin)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(compose([])),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "src", "PYTHONHASHSEED": "77"},
    )
    assert done.stdout.strip() == key()


@pytest.mark.parametrize("value", [object(), {1, 2}])
def test_what_cannot_be_written_the_same_everywhere_raises(value: object) -> None:
    from kvdistill.plan.identity import canonicalise

    with pytest.raises(TypeError, match=r"a\.b=.* has no canonical form"):
        canonicalise({"a": {"b": value}})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_the_users_to_mend(value: float) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.identity import canonicalise

    with pytest.raises(ConfigError, match=r"a\.b=.* must be a finite number"):
        canonicalise({"a": {"b": value}})


def test_one_token_and_all_of_them_differ() -> None:
    assert key("compression.keep=1") != key("compression.keep=1.0")


def test_a_whole_number_and_its_float_are_one_weight() -> None:
    assert key("loss.kv_weight=1", "train.lr=1") == key("loss.kv_weight=1.0", "train.lr=1.0")


def test_a_local_file_is_told_by_its_content(tmp_path) -> None:
    from kvdistill.plan.identity import identify_by_content
    from kvdistill.plan.pin import pin_config

    def pin_file(name: str, text: str) -> object:
        path = tmp_path / name
        path.write_text(text)
        return identify_by_content(pin_config({"_target_": "kvdistill.x", "path": str(path)}))

    assert pin_file("a", "one") == pin_file("b", "one")
    assert pin_file("a", "one") != pin_file("a", "two")


def test_a_missing_path_is_refused_by_name() -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.pin import pin_config

    with pytest.raises(ConfigError, match=r"data\.source\.path=/nowhere does not exist"):
        pin_config({"data": {"source": {"_target_": "kvdistill.x", "path": "/nowhere"}}})


def test_a_folder_of_local_copies_is_told_by_its_content(tmp_path) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity
    from kvdistill.plan.pin import pin_config

    def identify_run(folder: str, text: str) -> str:
        (tmp_path / folder / "gsm8k").mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "gsm8k/train.jsonl").write_text(text)
        config = compose(["data=multi_reasoning", f"data.root={tmp_path / folder}"])
        return run_identity(pin_config(config))

    assert identify_run("a", "one") == identify_run("b", "one")
    assert identify_run("a", "one") != identify_run("a", "two")


def test_a_missing_folder_of_copies_is_refused_by_name() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError
    from kvdistill.plan.pin import pin_config

    with pytest.raises(ConfigError, match=r"data\.source\.root=/nowhere does not exist"):
        pin_config(compose(["data=multi_reasoning", "data.root=/nowhere"]))


def test_what_reads_rows_is_part_of_the_identity_of_data_that_is_read_and_of_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan import identity

    configs = [compose([]), compose(["data=multi_reasoning"])]
    before = [identity.run_identity(config) for config in configs]
    monkeypatch.setattr(identity, "READER_VERSION", identity.READER_VERSION + 1)
    generated, read = (identity.run_identity(config) for config in configs)
    assert generated == before[0]
    assert read != before[1]


def test_a_model_whose_tokenizer_came_with_it_is_told_by_how_texts_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan import identity
    from kvdistill.plan.graph import list_artifacts

    def name_all(*overrides: str) -> set[str]:
        config = compose(list(overrides))
        nodes = dict(list_artifacts(config))
        kinds = ("kv.", "calibration.")
        names = {node.name for role, node in nodes.items() if role.startswith(kinds)}
        return names | {identity.run_identity(config)}

    made, loaded = ("source=store",), ("source=store", "scale=paper", "tasks=quick")
    before = name_all(*made), name_all(*loaded)
    monkeypatch.setattr(identity, "TOKENS_VERSION", 99)
    assert name_all(*made) == before[0]
    assert not name_all(*loaded) & before[1]


def test_a_date_in_a_chat_is_science_wherever_a_style_stands_and_none_forks_nothing() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.graph import list_artifacts

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: strip(value) for key, value in node.items() if key != "date"}
        return [strip(each) for each in node] if isinstance(node, list) else node

    config = compose(["source=store"])
    older = strip(config)
    assert older != config
    names = [[node.name for _, node in list_artifacts(each)] for each in (config, older)]
    assert names[0] == names[1]
    assert key("source=store") != key("source=store", "style.date=2024-07-26")
    assert key() != key("tasks.date=2024-07-26")


def test_only_what_computes_in_half_precision_is_told_by_how_its_keys_are_rounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.plan import identity

    commands = (
        ("train.bf16=true",), ("teachers.a.dtype=bfloat16",), (), ("arm=sft", "train.bf16=true"),
    )  # fmt: skip
    before = [key(*command) for command in commands]
    monkeypatch.setattr(identity, "HALF_VERSION", 99)
    half = [key(*command) != old for command, old in zip(commands, before, strict=True)]
    assert half == [True, True, False, False]


def test_only_presses_that_scored_by_another_scale_are_told_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kvdistill.plan import identity

    presses = ("r_kv", "kava", "h2o", "snap_kv", "tova", "expected_attention", "keep_last", "knorm")
    before = [key(f"compression={press}") for press in presses]
    monkeypatch.setattr(identity, "SCALE_VERSION", 99)
    changed = [
        key(f"compression={press}") != old for press, old in zip(presses, before, strict=True)
    ]
    assert changed == [True] * 6 + [False] * 2
