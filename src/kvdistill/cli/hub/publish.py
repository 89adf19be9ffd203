"""stage=publish: a finished run's student as a folder for the hub, uploaded where that is asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.cli.common import JobOverrides, console
from kvdistill.config.compose import compose
from kvdistill.errors import ConfigError, UserError
from kvdistill.plan.find_runs import find_finished_run
from kvdistill.report.publish.published_run import read_published_run
from kvdistill.report.publish.write_folder import write_published_folder


def publish_command(job_overrides: JobOverrides, _: Path) -> None:
    """Writes the folder and says what is in it; uploads it with publish.push=true.

    Raises ConfigError for a bad request, UserError where the hub refuses.
    """
    for overrides in job_overrides:
        config = compose(list(overrides))
        node = config["publish"]
        folder, repository = write_request(Path(config["root"]), node)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        for path in files:
            console.print(f"  {path.relative_to(folder)}", soft_wrap=True)
        if node["push"]:
            push_folder(folder, str(repository), private=node["private"])
            console.print(f"uploaded to {repository}: {len(files)} files, {size:,.1f} MB")
        else:
            place = repository or "OWNER/NAME"
            console.print(
                f"{folder}: {len(files)} files, {size:,.1f} MB; nothing is uploaded. "
                f"publish.repo={place} publish.push=true does it.",
                soft_wrap=True,
            )


def write_request(root: Path, node: Mapping[str, Any]) -> tuple[Path, str | None]:
    """The written folder, and where it goes. Raises ConfigError for a bad request."""
    if node["run"] is None:
        raise ConfigError("stage=publish needs publish.run: the name or identity of a run.")
    repository = node["repo"]
    if node["push"] and repository is None:
        raise ConfigError("publish.push=true needs publish.repo: OWNER/NAME of the hub.")
    if repository is not None:
        check_repository(repository)
    source = find_finished_run(root, str(node["run"]), "publish.run")
    run = read_published_run(source)
    own = layout.published_folder(source)
    output = Path(node["output"]) if node["output"] is not None else own
    if output != own and output.exists() and any(output.iterdir()):
        raise ConfigError(
            f"publish.output={output} is not empty, and would be replaced. Choose another, or "
            "remove it."
        )
    return write_published_folder(run, output, repository), repository


def check_repository(name: str) -> None:
    """Raises ConfigError for what the hub takes for no repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"publish.repo={name} is no repository of the hub: {error}") from error
    if "/" not in name:
        raise ConfigError(f"publish.repo={name} names no owner. Give OWNER/NAME.")


def push_folder(folder: Path, repository: str, *, private: bool) -> None:
    """Creates the repository where it is not there, and uploads the folder in one commit.

    huggingface_hub finds the user's token itself. Raises UserError with the hub's own words.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=f"Add {folder.name}"
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled, OSError) as error:
        why = " ".join(str(error).split())
        raise UserError(
            f"{repository} was not written: {why}. The folder stays in {folder}; log in (hf auth "
            "login) and repeat the command."
        ) from error
