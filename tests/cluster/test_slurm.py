"""Every value of a job's script stays a value, as bash itself reads it."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

NASTY = """it's "$(touch PWN)" `touch PWN` ; touch PWN & \\ | > PWN #"""


def script(folder: Path, code: Path = Path("/code"), **changed: object) -> str:
    """The text that sbatch would get, of settings with these changed."""
    import yaml

    from kvdistill.cluster.dry_run import ScriptExecutor
    from kvdistill.cluster.slurm import make_executor
    from kvdistill.cluster.slurm_arrays import request_resources
    from kvdistill.config import check_cluster
    from kvdistill.config.schema import read_group

    conf = Path(__file__).parents[2] / "conf/cluster/slurm.yaml"
    node = {**yaml.safe_load(conf.read_text(encoding="utf-8")), **changed}
    check_cluster.check_cluster_settings(node)
    settings = read_group("cluster", node)
    executor = make_executor(
        folder,
        "kvdistill-study-run",
        settings,
        request_resources(settings, "run"),
        None,
        code,
        ScriptExecutor,
    )
    return executor._make_submission_file_text(executor._submitit_command_str, "")


def run_script(text: str, place: Path) -> list[list[str]]:
    """The script's commands as bash runs them in `place`, each srun's words as it got them."""
    (place / "bin").mkdir(parents=True)
    srun = place / "bin/srun"
    srun.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    srun.chmod(0o755)
    job = place / "job.sh"
    job.write_text(text)
    subprocess.run(["bash", "-n", job], check=True)
    done = subprocess.run(
        ["bash", job], cwd=place, capture_output=True, text=True, check=True,
        env={"PATH": f"{place}/bin:/usr/bin:/bin"},
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_values_with_every_kind_of_quote_are_words_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / f"a root {NASTY.replace('/', '')}" / "slurm"
    text = script(
        folder,
        Path(f"/code {NASTY}"),
        partition=NASTY, account=NASTY, qos=NASTY, constraint=NASTY,
        container=["apptainer", NASTY], python=f"/py {NASTY}", sbatch=[f"--comment={NASTY}"],
        setup=["echo"],
    )  # fmt: skip
    place = tmp_path / "run"
    (words,) = run_script(text.replace("\necho\n", "\n"), place)
    assert words[-7:] == [
        "apptainer", NASTY, f"/py {NASTY}", "-u", "-m", "submitit.core._submit", str(folder),
    ]  # fmt: skip
    assert not list(tmp_path.rglob("PWN"))
    heads = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    read = dict(shlex.split(line.removeprefix("#SBATCH "))[0].split("=", 1) for line in heads
                if "=" in line)  # fmt: skip
    for key in ("partition", "account", "qos", "constraint"):
        assert read[f"--{key}"] == NASTY
    assert read["--comment"] == NASTY
    assert read["--output"].startswith(str(folder))


def test_set_up_lines_run_as_they_are_written(tmp_path: Path) -> None:
    text = script(tmp_path / "slurm", setup=["cd /", "for i in 1 2; do\nsrun $i\ndone"])
    assert run_script(text, tmp_path / "run")[:2] == [["1"], ["2"]]


@pytest.mark.parametrize(
    "key", ["partition", "account", "qos", "constraint", "python", "container", "sbatch"]
)
def test_a_line_break_would_end_the_comment_that_a_value_stands_in(
    key: str, tmp_path: Path
) -> None:
    from kvdistill.errors import ConfigError

    for broken in ("a\ntouch PWN", "a\r", "a\x00", "a\u2028b"):
        value = [f"--comment={broken}"] if key == "sbatch" else broken
        value = [value] if key == "container" else value
        with pytest.raises(ConfigError, match=rf"^cluster\.{key}=.* must be printable text on one"):
            script(tmp_path, **{key: value})


@pytest.mark.parametrize("name", ["a\nb", "100%j"])
def test_a_folder_that_slurm_reads_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=r"^root: .* must be printable and without %"):
        script(tmp_path / name)


def test_no_token_of_the_environment_stands_in_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "a-secret-of-mine")
    assert "a-secret-of-mine" not in script(tmp_path)


def test_memory_and_gpus_are_said_by_one_line_whoever_says_them(tmp_path: Path) -> None:
    site = ["--mem-per-cpu=4G", "--gres=gpu:a100:2"]
    heads = [line.removeprefix("#SBATCH ") for line in script(tmp_path, sbatch=site).splitlines()]
    asks = [line for line in heads if line.startswith(("--mem", "--gres", "--gpus"))]
    assert asks == ["--gres=gpu:a100:2", "--mem-per-cpu=4G"]
    own = script(tmp_path, mem_gb=2, gpus=1)
    assert own.count("--mem=2048MB") == own.count("--gpus-per-node=1") == 1
