"""stage=publish as a command: it says what it would upload, and uploads only where it is told."""

from pathlib import Path

import pytest

from kvdistill.errors import ConfigError, UserError
from tests.report.publish.test_write_folder import write_run

pytestmark = pytest.mark.usefixtures("hydra")


def publish_from(root: Path, *overrides: str) -> None:
    from kvdistill.cli.hub.publish import publish_command

    publish_command([["stage=publish", f"root={root}", *overrides]], root)


class Hub:
    """Remembers what is asked of it."""

    asked: list[tuple]

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
        self.asked.append((name, private, exist_ok))

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        self.asked.append((repo_id, sorted(p.name for p in folder_path.iterdir())))


def test_without_push_nothing_is_uploaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", None)
    write_run(tmp_path)
    publish_from(tmp_path, "publish.run=ab")
    out = capsys.readouterr().out
    assert "nothing is uploaded. publish.repo=OWNER/NAME publish.push=true does it" in out
    assert (tmp_path / "runs/s/published/seed42-ab/README.md").is_file()
    publish_from(tmp_path, "publish.run=ab")


def test_push_makes_a_private_repository_and_uploads_the_folder(tmp_path, monkeypatch):
    Hub.asked = []
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    write_run(tmp_path)
    publish_from(tmp_path, "publish.run=ab", "publish.repo=me/mine", "publish.push=true")
    assert Hub.asked[0] == ("me/mine", True, True)
    assert {"README.md", ".eval_results", "results", "model.safetensors"} <= set(Hub.asked[1][1])


def test_what_the_hub_refuses_is_one_line(tmp_path, monkeypatch):
    from huggingface_hub.errors import OfflineModeIsEnabled

    def refuse(*_, **__):
        raise OfflineModeIsEnabled("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refuse)
    write_run(tmp_path)
    with pytest.raises(UserError, match=r"me/mine was not written: no network\. The folder stays"):
        publish_from(tmp_path, "publish.run=ab", "publish.repo=me/mine", "publish.push=true")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "stage=publish needs publish.run"),
        (["publish.run=zz"], r"publish\.run=zz is no finished run"),
        (["publish.run=ab", "publish.push=true"], r"publish\.push=true needs publish\.repo"),
        (["publish.run=ab", "publish.repo=a--b/c"], r"publish\.repo=a--b/c is no repository"),
        (["publish.run=ab", "publish.repo=alone"], "names no owner"),
    ],
)
def test_a_bad_request_is_refused_by_name(tmp_path, overrides, message):
    write_run(tmp_path)
    with pytest.raises(ConfigError, match=message):
        publish_from(tmp_path, *overrides)


def test_a_folder_of_ones_own_is_not_replaced(tmp_path):
    write_run(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty, and would be replaced"):
        publish_from(tmp_path, "publish.run=ab", f"publish.output={tmp_path}/mine")
