"""The recipes install what is pinned, of files that are there, for a Python that is supported."""

import re
from pathlib import Path

import pytest
import tomllib
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
DOCKER = (ROOT / "containers/Dockerfile").read_text("utf-8")
APPTAINER = (ROOT / "containers/kvdistill.def").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FILES = {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "constraints.hashes.txt"}


def test_both_begin_with_the_same_pinned_image_of_a_python_that_the_hashes_are_for():
    images = [re.search(r"^(?:FROM|From:) (\S+)$", text, re.M)[1] for text in (DOCKER, APPTAINER)]
    assert images[0] == images[1]
    version = re.fullmatch(r"python:(\d+\.\d+\.\d+)-slim-\w+", images[0])[1]
    assert version in SpecifierSet(PROJECT["requires-python"])
    python = ".".join(version.split(".")[:2])
    assert f"CPython {python} on x86-64" in (ROOT / "constraints.hashes.txt").read_text("utf-8")


def test_what_they_copy_is_there():
    copied = re.search(r"^COPY (.*) /opt/kvdistill/$", DOCKER, re.M)[1].split()
    section = APPTAINER.split("%files\n")[1].split("\n\n")[0]
    pairs = [line.split() for line in section.splitlines()]
    assert set(copied) == FILES == {source for source, _ in pairs}
    assert all(target == f"/opt/kvdistill/{source}" for source, target in pairs)
    assert all((ROOT / name).is_file() for name in FILES)


@pytest.mark.parametrize("text", [DOCKER, APPTAINER], ids=["docker", "apptainer"])
def test_they_install_pins_with_their_hashes_and_nothing_else(text):
    installs = re.findall(r"pip install (.*?)(?: \\)?$", text, re.M)
    assert installs == [
        "--no-cache-dir --require-hashes --no-deps -r constraints.hashes.txt",
        "--no-cache-dir -c constraints.txt torch",
    ]


def test_a_job_in_the_container_keeps_the_code_that_it_was_submitted_with():
    assert 'export PYTHONPATH="${PYTHONPATH:-src}"' in APPTAINER


def test_the_example_of_a_site_has_account_gpu_type_and_container(hydra):
    from kvdistill.config.compose import compose
    from kvdistill.config.schema import read_group

    settings = read_group("cluster", compose(["cluster=site"])["cluster"])
    assert settings.account
    assert settings.container[:3] == ["apptainer", "exec", "--nv"]
    assert settings.python == "python", "the one inside"
    assert any("module load" in line for line in settings.setup)
    assert any(option.startswith("--gres=gpu:") for option in settings.sbatch)
    assert settings.resources["report"]["partition"] == "cpu"
