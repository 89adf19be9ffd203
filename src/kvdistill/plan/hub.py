"""From a branch on the Hugging Face hub to the commit it names now: asked once, then pinned."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kvdistill.files import write_text

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Repo:
    """A repository of the hub at a branch, tag or commit."""

    name: str
    kind: str
    """model or dataset."""
    revision: str

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit already, which no one can move."""
        return re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


@dataclass(frozen=True)
class Resolution:
    """The commit, or why there is none."""

    commit: str | None
    why: str = ""


def resolve_commit(repo: Repo, *, online: bool) -> Resolution:
    """Asks the hub, and where it does not answer, or must not be asked, the local cache's refs."""
    if repo.is_pinned:
        return Resolution(repo.revision)
    resolution = ask_hub(repo) if online else Resolution(None, "a plan asks no network")
    # Offline, the branch means what it meant when the cache was filled.
    if resolution.commit is None and (commit := read_cached_commit(repo)) is not None:
        return Resolution(commit)
    return resolution


def ask_hub(repo: Repo) -> Resolution:
    """What the hub says."""
    import huggingface_hub  # needs a quarter of a second, and only hub weights need it

    try:
        info = huggingface_hub.HfApi().repo_info(
            repo.name, repo_type=repo.kind, revision=repo.revision, timeout=TIMEOUT_S
        )
    except Exception as error:  # noqa: BLE001 - no network, no such repository, no access: told
        line = (str(error).splitlines() or [""])[0].rstrip(".")
        return Resolution(None, f"{type(error).__name__}: {line}")
    return Resolution(info.sha)


def remember_commit(repo: Repo, commit: str) -> None:
    """Notes in the local cache what the branch names, as the hub's client does for a branch.

    What is downloaded by commit leaves no such note, and without one an offline machine could not
    tell which of its commits the branch means.
    """
    if not repo.is_pinned:
        write_text(cache_reference(repo), commit)


def read_cached_commit(repo: Repo) -> str | None:
    """The commit that the branch named when the local cache last fetched it."""
    ref = cache_reference(repo)
    return ref.read_text(encoding="utf-8").strip() if ref.is_file() else None


def cache_reference(repo: Repo) -> Path:
    """The local cache's note of a branch."""
    # Slow to import, as in every function here, and most plans name nothing of the hub.
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repo.name, repo_type=repo.kind)
    return Path(constants.HF_HUB_CACHE) / folder / "refs" / repo.revision


def explain_refusal(repo: Repo) -> str:
    """Why this user may not download what the hub names; empty where it may, or cannot be asked."""
    import huggingface_hub  # slow to import
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        huggingface_hub.HfApi().auth_check(repo.name, repo_type=repo.kind)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    except Exception:  # noqa: BLE001 - no network: what is in the cache needs no permission
        return ""
    return ""


def is_cached(repo: Repo) -> bool:
    """Whether the local cache holds the repository's config at its commit."""
    return find_cached_file(repo, "config.json") is not None


def find_cached_file(repo: Repo, name: str) -> Path | None:
    """A file of the repository at its commit, where the local cache has it."""
    import huggingface_hub  # slow to import

    commit = read_cached_commit(repo) if not repo.is_pinned else repo.revision
    if commit is None:
        return None
    path = huggingface_hub.try_to_load_from_cache(repo.name, name, revision=commit)
    return Path(path) if isinstance(path, str) else None


def download_files(repo: Repo, patterns: Sequence[str]) -> Path | None:
    """The folder of the repository at its commit with the files that match, from the hub.

    None where it is not to be had. The cache then knows that the other files are missing.
    """
    import huggingface_hub  # slow to import
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                repo.name, revision=repo.revision, allow_patterns=list(patterns)
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None
