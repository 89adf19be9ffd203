"""From a branch on the Hugging Face hub to the commit it names now: asked once, then pinned."""

import re
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
    def pinned(self) -> bool:
        """Whether the revision is a commit already, which no one can move."""
        return re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


@dataclass(frozen=True)
class Found:
    """The commit, or why there is none."""

    commit: str | None
    why: str = ""


def resolve(repo: Repo, *, online: bool) -> Found:
    """Asks the hub, and where it does not answer, or must not be asked, the local cache's refs."""
    if repo.pinned:
        return Found(repo.revision)
    told = asked(repo) if online else Found(None, "a plan asks no network")
    if told.commit is None and (commit := cached(repo)) is not None:
        return Found(commit)
    return told


def asked(repo: Repo) -> Found:
    """What the hub says."""
    import huggingface_hub  # needs a quarter of a second, and only hub weights need it

    try:
        info = huggingface_hub.HfApi().repo_info(
            repo.name, repo_type=repo.kind, revision=repo.revision, timeout=TIMEOUT_S
        )
    except Exception as error:  # noqa: BLE001 - no network, no such repository, no access: told
        line = (str(error).splitlines() or [""])[0].rstrip(".")
        return Found(None, f"{type(error).__name__}: {line}")
    return Found(info.sha)


def remember(repo: Repo, commit: str) -> None:
    """Notes in the local cache what the branch names, as the hub's client does for a branch.

    What is downloaded by commit leaves no such note, and without one an offline machine could not
    tell which of its commits the branch means.
    """
    if not repo.pinned:
        write_text(reference(repo), commit)


def cached(repo: Repo) -> str | None:
    """The commit that the branch named when the local cache last fetched it."""
    ref = reference(repo)
    return ref.read_text(encoding="utf-8").strip() if ref.is_file() else None


def reference(repo: Repo) -> Path:
    """The local cache's note of a branch."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repo.name, repo_type=repo.kind)
    return Path(constants.HF_HUB_CACHE) / folder / "refs" / repo.revision


def refused(repo: Repo) -> str:
    """Why this user may not download what the hub names; empty where it may, or cannot be asked."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        huggingface_hub.HfApi().auth_check(repo.name, repo_type=repo.kind)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    except Exception:  # noqa: BLE001 - no network: what is in the cache needs no permission
        return ""
    return ""


def at_hand(repo: Repo) -> bool:
    """Whether the local cache holds the repository's config at its commit."""
    import huggingface_hub

    found = cached(repo) if not repo.pinned else repo.revision
    return found is not None and isinstance(
        huggingface_hub.try_to_load_from_cache(repo.name, "config.json", revision=found), str
    )
