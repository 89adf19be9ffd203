"""stage=adopt: one command, and the model is a choice of its group that a plan composes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError
from tests.hub_server import make_commit, open_hub
from tests.models.gguf_files import GEOMETRY, write_header

ROOT = Path(__file__).parents[2]
CONFIG = {
    "model_type": "llama", "num_hidden_layers": 6, "hidden_size": 48, "intermediate_size": 64,
    "num_attention_heads": 4, "vocab_size": 300, "architectures": ["LlamaForCausalLM"],
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of conf/ as launch.py would have it; what is examined is examined here."""
    from hydra import initialize_config_dir

    from kvdistill.cli import adopt
    from kvdistill.train.adoption import examine_model

    monkeypatch.setattr(
        adopt, "call_in_new_process",
        lambda _, function, argument, **__: json.loads(
            json.dumps(getattr(examine_model, function)(json.loads(json.dumps(argument))))
        ),
    )  # fmt: skip
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        yield tmp_path


def adopt_model(home: Path, model: object, role: str, name: str, *more: str) -> None:
    from kvdistill.cli.adopt import adopt_command

    settings = ["stage=adopt", f"model={model}", f"role={role}", f"name={name}"]
    adopt_command([[*settings, *more]], home / "sweeps")


def write_folder(folder: Path, config: dict[str, Any] = CONFIG) -> Path:
    from kvdistill.models.nano_tokenizer import train_tokenizer

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    train_tokenizer(["one two three 12"], 300, 1).save_pretrained(folder)
    return folder


@pytest.mark.integration
def test_a_student_and_teachers_are_adopted_and_planned_with_nothing_typed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.plan.expand import expand_command

    adopt_model(home, write_folder(home / "small"), "student", "small")
    assert "with student=NAME (or teachers=NAME)" in capsys.readouterr().out
    adopt_model(home, write_folder(home / "big"), "teacher", "big", "student=small")
    said = capsys.readouterr().out
    assert "nothing of it is refused" in said
    assert "big teaches small:" in said
    assert "layers: 6 of the student's 6 read 6 of the teacher's 6" in said
    assert "heads: 4 of 12 in both" in said
    assert "the same tokenizer; on a sample text they share 100.0% of its bytes" in said
    assert "try: python launch.py stage=plan student=small teachers=big" in said
    overrides = ["student=small", "teachers=big", "+teacher@teachers.b=big", "stage=plan"]
    plan = expand_command([overrides], ROOT / "sweeps")
    (run,) = [run for run in plan.runs.values() if run.config["trained"]]
    # What a Llama's config.json leaves to its class was read of the class.
    assert run.config["teachers"]["b"]["geometry"]["kv_heads"] == 4
    assert run.config["student"]["geometry"]["tied_embeddings"] is False


@pytest.mark.integration
def test_a_gguf_file_is_adopted_without_its_weights(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.plan.requests.composer import Composer

    write_header(home / "a.gguf", GEOMETRY)
    adopt_model(home, home / "a.gguf", "teacher", "packed")
    said = capsys.readouterr().out
    assert "llama: 4 layers, 32 wide, 4 heads, 2 KV heads of 8, 300 tokens, own output" in said
    assert "keys and values: separate (k_proj, v_proj)" in said
    assert "refused for texts" in said  # the header has no tokens
    config = Composer()(["teachers=packed", "stage=plan"], None)
    assert config["teachers"]["a"]["geometry"] == GEOMETRY


@pytest.mark.integration
def test_what_will_be_refused_is_said_with_its_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = CONFIG | {
        "model_type": "deepseek_v3", "num_key_value_heads": 4, "q_lora_rank": 16,
        "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8,
        "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
    }  # fmt: skip
    adopt_model(home, write_folder(home / "mla", config), "teacher", "mla")
    said = capsys.readouterr().out
    assert "keys and values: latent" in said
    assert "refused for keys and values: teachers.a" in said
    assert (home / "conf/teacher/mla.yaml").is_file()


@pytest.mark.integration
def test_a_repository_of_the_hub_is_adopted_at_its_commit(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvdistill.plan.requests.composer import Composer

    with open_hub(home, monkeypatch) as server:
        write_folder(server.folder / "one/model")
        commit = make_commit(server.folder / "one/model")
        adopt_model(home, "one/model", "teacher", "far")
        assert "nothing of it is refused" in capsys.readouterr().out
    config = Composer()(["teachers=far", "stage=plan"], None)
    source = config["teachers"]["a"]["pretrained"]
    assert (source["hub"], source["revision"]) == ("one/model", commit)


def test_the_folder_of_config_dir_takes_what_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra.core.global_hydra import GlobalHydra

    from kvdistill.cli.adopt import find_conf_folder

    assert find_conf_folder(home) == home
    path = GlobalHydra.instance().config_loader().get_search_path()
    path.prepend(provider="command-line", path=f"file://{home / 'mine'}")
    assert find_conf_folder(home) == home / "mine"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["stage=adopt", "role=teacher", "name=a"], "stage=adopt needs model"),
        (["stage=adopt", "model=a", "name=a"], "stage=adopt needs role"),
        (["stage=adopt", "model=a", "role=teacher"], "stage=adopt needs name"),
        (["stage=adopt", "model=a", "role=judge", "name=a"], "role=judge is none of teacher, st"),
        (["stage=adopt", "model=a", "role=teacher", "name=a/b"], "must be a file's name"),
        (["model=a"], "model=a is for stage=adopt, not stage=run"),
        (["stage=plan", "role=teacher"], "role=teacher is for stage=adopt, not stage=plan"),
    ],
)
@pytest.mark.usefixtures("hydra")
def test_a_command_that_says_too_little_is_refused(overrides: list[str], says: str) -> None:
    from kvdistill.config.compose import compose

    with pytest.raises(ConfigError, match=says):
        compose(overrides)


@pytest.mark.usefixtures("home")
def test_several_models_in_one_command_are_refused() -> None:
    from kvdistill.cli.adopt import adopt_command

    with pytest.raises(ConfigError, match="one model a command"):
        adopt_command([["stage=adopt"], ["stage=adopt"]], ROOT / "sweeps")
