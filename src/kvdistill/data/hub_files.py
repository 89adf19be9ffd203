"""Rows of a data set of the hub, read from its files at one commit: no script of its is ever run.

Where the hub is not asked (offline) or does not answer, what its local cache holds of that commit
takes its place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import huggingface_hub
import yaml
from huggingface_hub import errors

from kvdistill.data.table_files import ARCHIVE, Row, is_table, read_archive, read_table
from kvdistill.errors import ArtifactError, list_causes
from kvdistill.plan.hub import (
    TIMEOUT_S,
    Repo,
    cache_reference,
    read_cached_commit,
    remember_commit,
)

CONVERTED = "refs/convert/parquet"
"""The branch on which the hub keeps its own conversion of a data set, where it has made one."""
LAYOUTS = (
    "{config}/{split}-*", "{config}/{split}.*", "{config}/{split}/*",
    "data/{split}-*", "data/{split}.*", "{split}-*", "{split}.*", "{split}/*",
)  # fmt: skip
"""Where a part lies in a data set that does not say it, the first that has a file."""
SPLIT_WORDS = ("train", "test", "val", "dev")
CARD = "README.md"


class HubDataError(ArtifactError):
    """A data set of the hub is not to be had; `remedy` is the sentence that says what helps."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what, self.remedy = what, remedy


@dataclass(frozen=True, kw_only=True)
class HubSplit:
    """One split of one config of a data set of the hub."""

    repo: str
    config: str | None
    split: str
    revision: str = "main"
    """A branch, tag or commit; a plan makes a commit of it."""
    files: Sequence[str] = ()
    """Where its rows lie, tried in order before what the card and the usual layouts say: a pattern
    of paths, or `ARCHIVE.zip!PATTERN`; {config} and {split} stand for theirs."""

    def __str__(self) -> str:
        config = f", {self.config}" if self.config else ""
        return f"{self.repo} ({self.split}{config}) at {self.revision}"


@dataclass(frozen=True)
class Listing:
    """What a data set holds at a revision: the commit, and the paths of its files, sorted."""

    repo: str
    commit: str
    names: tuple[str, ...]
    gated: bool = False
    """Whether its files are given to those alone who have accepted its terms; False offline."""


def read_hub_split(source: HubSplit) -> list[Row]:
    """Every row, in the order of the files' names.

    Raises HubDataError with the whole chain of causes where it is not to be had.
    """
    listing = list_repository(source.repo, source.revision)
    chosen = choose_files(source, listing)
    if not chosen and source.revision != CONVERTED and (other := find_conversion(source.repo)):
        listing, chosen = other, choose_files(source, other)
    if not chosen:
        raise HubDataError(
            f"{source}: no file of it is known to hold these rows. "
            f"{describe_files(list_repository(source.repo, source.revision))}",
            "Say where they are in `files` (a path with {config} and {split}, or "
            "ARCHIVE.zip!PATH), or put a local copy in its place",
        )
    return [row for name in chosen for row in read_file(listing, name)]


def find_conversion(repo: str) -> Listing | None:
    """The hub's own conversion of a data set; None where it has made none, or says nothing."""
    try:
        return list_repository(repo, CONVERTED)
    except HubDataError:
        return None


@lru_cache(maxsize=256)
def list_repository(repo: str, revision: str) -> Listing:
    """A data set's files; those in the local cache where the hub does not answer.

    Asked once a process, so that a branch which moves meanwhile mixes no two commits. Raises
    HubDataError where neither has them.
    """
    at = Repo(repo, "dataset", revision)
    try:
        # One request without retries: a machine without a network knows at once.
        info = huggingface_hub.HfApi().dataset_info(repo, revision=revision, timeout=TIMEOUT_S)
    except Exception as error:  # no network, no such name, no access, a proxy's page: all is told
        if (cached := list_cached_files(at)) is not None:
            return cached
        raise make_hub_error(f"{repo} at {revision}", repo, error) from error
    commit = str(info.sha)
    remember_commit(at, commit)
    names = tuple(sorted(file.rfilename for file in info.siblings or ()))
    return Listing(repo, commit, names, bool(info.gated))


def list_cached_files(at: Repo) -> Listing | None:
    """What the local cache holds of a commit, or of what a branch meant; None without any."""
    commit = at.revision if at.is_pinned else read_cached_commit(at)
    if commit is None:
        return None
    folder = cache_reference(at).parents[at.revision.count("/") + 1] / "snapshots" / commit
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return Listing(at.name, commit, tuple(files)) if files else None


def choose_files(source: HubSplit, listing: Listing) -> list[str]:
    """The files that hold the split's rows, or `ARCHIVE!PATTERN`; empty where none is known to."""
    names = listing.names
    for pattern in (fill_pattern(source, each) for each in source.files):
        archive, mark, member = pattern.partition(ARCHIVE)
        if mark and archive in names:
            return [f"{archive}{ARCHIVE}{member}"]
        if chosen := match_tables(names, [pattern]):
            return chosen
    if CARD in names and (patterns := read_card_patterns(source, listing)):
        return match_tables(names, patterns)
    for layout in LAYOUTS:
        if source.config is None and "{config}" in layout:
            continue
        if chosen := match_tables(names, [fill_pattern(source, layout)]):
            return chosen
    return choose_unnamed_split(source, names)


def choose_unnamed_split(source: HubSplit, names: Sequence[str]) -> list[str]:
    """All tables for `train` of a data set none of whose files names a split."""
    tables = [name for name in names if is_table(name)]
    if source.split != "train" or any(word in name for name in tables for word in SPLIT_WORDS):
        return []
    return tables


def fill_pattern(source: HubSplit, pattern: str) -> str:
    """The pattern with the split's own names."""
    return pattern.replace("{config}", source.config or "").replace("{split}", source.split)


def match_tables(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Names of tables that match one of the patterns, in their own order.

    A path of the card may name a folder's files by `**`, which here any `*` does.
    """
    return [
        name
        for name in names
        if is_table(name) and any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def read_card_patterns(source: HubSplit, listing: Listing) -> list[str]:
    """Patterns that the card's `configs` gives the split; empty where it gives none."""
    head = read_card_head(listing)
    for config in head.get("configs") or ():
        if source.config in (None, config.get("config_name")):
            return list(list_split_paths(config.get("data_files"), source.split))
    return []


def read_card_head(listing: Listing) -> Mapping[str, Any]:
    """The YAML head of a data set's card; empty where it has none that can be read."""
    text = download_file(listing, CARD).read_text(encoding="utf-8", errors="replace")
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        head = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, Mapping) else {}


def list_split_paths(data_files: Any, split: str) -> Iterator[str]:
    """The paths of a split among `data_files`: a path, a list, or a list of {split, path}."""
    entries = data_files if isinstance(data_files, list) else [data_files]
    for entry in entries:
        if isinstance(entry, str) and split == "train":
            yield entry
        elif isinstance(entry, Mapping) and entry.get("split") == split:
            path = entry.get("path")
            yield from [path] if isinstance(path, str) else path or ()


def read_file(listing: Listing, name: str) -> list[Row]:
    """The rows of one file, or of an archive's members. Raises HubDataError."""
    name, mark, member = name.partition(ARCHIVE)
    path = download_file(listing, name)
    try:
        return read_archive(path, member) if mark else read_table(path, name)
    except Exception as error:  # readers of broken files raise anything
        raise HubDataError(
            f"{listing.repo}: {name} cannot be read: {list_causes(error)}",
            "Delete it from the local cache and fetch it again, or put a local copy in its place",
        ) from error


def download_file(listing: Listing, name: str) -> Path:
    """A file's place in the local cache, fetched if it is not there. Raises HubDataError."""
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                listing.repo, name, repo_type="dataset", revision=listing.commit
            )
        )
    except Exception as error:  # as in `list_repository`
        raise make_hub_error(f"{listing.repo}: {name}", listing.repo, error) from error


def make_hub_error(what: str, repo: str, error: Exception) -> HubDataError:
    """What failed, why, and what would help with that very cause."""
    page = f"https://huggingface.co/datasets/{repo}"
    if isinstance(error, errors.GatedRepoError):
        remedy = (
            f"It is gated: accept its terms at {page}, then set HF_TOKEN or "
            "run `hf auth login`, or put a local copy in its place"
        )
    elif isinstance(error, errors.RepositoryNotFoundError):
        remedy = (
            "It does not exist under this name, or it is private and HF_TOKEN is of no one who may "
            f"read it: see {page}, or put a local copy in its place"
        )
    elif isinstance(error, errors.RevisionNotFoundError):
        remedy = f"Give a revision that {page} has, or put a local copy in its place"
    else:
        remedy = (
            "Repeat the command with stage=fetch where there is a network, or put a local copy in "
            "its place"
        )
    return HubDataError(f"{what} cannot be had: {list_causes(error)}", remedy)


def describe_files(listing: Listing) -> str:
    """What a data set has instead, for a message: a script is called what it is."""
    script = f"{PurePosixPath(listing.repo).name}.py"
    names = f"Its files: {', '.join(listing.names[:8]) or 'none'}"
    if script not in listing.names:
        return names
    return f"It is a script data set ({script}), and no script is run. {names}"
