"""A YAML that comes from elsewhere runs nothing and leaks nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def write_foreign_config(place: Path, text: str) -> list[str]:
    """Arguments that choose a file from a folder of someone else's."""
    (place / "conf/extra").mkdir(parents=True)
    (place / "conf/extra/strange.yaml").write_text(f"# @package _global_\n{text}\n")
    return ["--config-dir", str(place / "conf"), "+extra=strange"]


def read_refusal(place: Path, text: str, *arguments: str) -> str:
    """What a command says of it; the process and its folder must show no other trace."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *write_foreign_config(place, text), "stage=plan",
         f"root={place}/root", *arguments],
        cwd=place, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_TOKEN": "a-token-of-mine"},
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert {path.name for path in place.iterdir()} == {"conf"}, "it left something"
    assert "a-token-of-mine" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.integration
def test_no_callback_of_a_file_is_called(tmp_path: Path) -> None:
    stderr = read_refusal(
        tmp_path, "hydra: {callbacks: {a: {_target_: pathlib.Path.touch, self: ran}}}"
    )
    assert "error: hydra.callbacks must stay as conf/config.yaml has it" in stderr


@pytest.mark.integration
def test_no_log_handler_of_a_file_is_made(tmp_path: Path) -> None:
    handler = "{class: logging.FileHandler, filename: ran}"
    stderr = read_refusal(
        tmp_path, f"hydra: {{hydra_logging: {{version: 1, handlers: {{a: {handler}}}}}}}"
    )
    assert "error: hydra.hydra_logging must stay as conf/config.yaml has it" in stderr


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"job": {"env_set": {"PYTHONPATH": "/strange"}}}, "job.env_set"),
        ({"job": {"env_copy": ["HF_TOKEN"]}}, "job.env_copy"),
        ({"job": {"chdir": True}}, "job.chdir"),
        ({"run": {"dir": "${oc.env:HF_TOKEN}"}}, "run"),
        ({"sweep": {"dir": "/etc"}}, "sweep"),
        ({"output_subdir": "ran"}, "output_subdir"),
        ({"job_logging": {"handlers": {"a": {"()": "os.system"}}}}, "job_logging"),
        ({"launcher": {"_target_": "os.getcwd"}}, "launcher"),
        ({"sweeper": {"params": {"seed": "1,2"}}}, "sweeper"),
    ],
)
def test_hydra_itself_is_left_alone(changes: dict, names: str) -> None:
    from hydra import compose
    from omegaconf import OmegaConf

    from kvdistill.config.hydra_guard import check_hydra_node
    from kvdistill.errors import ConfigError

    node = compose("config", return_hydra_config=True).hydra
    check_hydra_node(OmegaConf.to_container(node, resolve=False))  # as the project has it
    OmegaConf.set_struct(node, False)
    changed = OmegaConf.to_container(OmegaConf.merge(node, changes), resolve=False)
    with pytest.raises(
        ConfigError, match=rf"^hydra\.{names} must stay as conf/config\.yaml has it"
    ):
        check_hydra_node(changed)


@pytest.mark.integration
def test_an_environment_variable_reaches_no_config(tmp_path: Path) -> None:
    text = "study: ${oc.env:HF_TOKEN}"
    stderr = read_refusal(tmp_path, text)
    assert "study: ${oc.env:HF_TOKEN}: a config holds no environment variable" in stderr


@pytest.mark.integration
def test_nor_by_being_resolved_a_second_time(tmp_path: Path) -> None:
    text = "study: '\\${oc.env:HF_TOKEN}'"
    assert "study='${oc.env:HF_TOKEN}' must not hold ${" in read_refusal(tmp_path, text)


@pytest.mark.integration
def test_only_the_command_trusts_a_model(tmp_path: Path) -> None:
    text = "trust: [someone/model]"
    assert "trust is set by a file of conf/" in read_refusal(tmp_path, text)


@pytest.mark.integration
def test_only_the_cluster_file_or_the_command_writes_into_a_script(tmp_path: Path) -> None:
    text = "cluster: {setup: [touch ran]}"
    stderr = read_refusal(tmp_path, text, "cluster=slurm")
    assert "cluster.setup=['touch ran'] becomes part of the jobs' scripts" in stderr


@pytest.mark.usefixtures("hydra")
def test_the_command_may_write_into_a_script() -> None:
    from kvdistill.config.compose import compose

    config = compose(["cluster=slurm", "cluster.setup=[module load cuda]"])
    assert config["cluster"]["setup"] == ["module load cuda"]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("key", ["trust_remote_code", "pickle"])
def test_a_model_brings_code_only_where_the_command_names_it(key: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    overrides = [
        "student=qwen2_5_1_5b", "student.pretrained.hub=someone/model", "teachers=none",
        "arm=sft", f"+student.pretrained.{key}=true",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=rf"^student\.pretrained\.{key}=True .*trust=\[someone/"):
        compose(overrides)
    with pytest.raises(ConfigError, match=r"^student\.pretrained\."):
        compose([*overrides, "trust=[someone/other]"])
    config = compose([*overrides, "trust=[someone/model]"])
    assert config["student"]["pretrained"][key] is True


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    "override",
    [
        "study=hf_abcdefghijklmnopqrst",
        "student.pretrained.path=https://me:word@host/model",
        "study=my-own-secret",
    ],
)
def test_a_secret_is_refused_and_not_repeated(
    override: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.config import hydra_guard
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    monkeypatch.setenv("WANDB_API_KEY", "my-own-secret")
    key, value = override.split("=", 1)
    with pytest.raises(ConfigError, match=rf"^{key} holds a token or password") as caught:
        hydra_guard.check_secrets([override])
    assert value not in str(caught.value)
    if key == "study":
        with pytest.raises(ConfigError, match=r"^study holds a token or password"):
            compose([override])


def test_what_is_a_secret_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.redact import redact_secrets

    monkeypatch.setenv("SOME_TOKEN", "short")
    monkeypatch.setenv("PGPASSWORD", "correct-horse")
    redacted = {
        "see https://me:word@host/x": "see https://***@host/x",
        "correct-horse ran": "*** ran",
        "short ran": "short ran",
        "Qwen/Qwen2.5 at 0123456789abcdef0123456789abcdef01234567": None,
        "nano-cross_large sk-learn me@host": None,
    }
    for text, expected in redacted.items():
        assert redact_secrets(text) == (expected or text)
    assert json.loads(redact_secrets(json.dumps({"a": "hf_" + "a" * 34}))) == {"a": "***"}
