"""Inputs pinned when a plan is made, so that what changes later is a new run.

Local files are told by content, repositories of the hub by the commit their branch names now.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.config.check_files import check_local_path, check_model_folder
from kvdistill.errors import ConfigError
from kvdistill.files import sha256
from kvdistill.hash_record import make_hasher
from kvdistill.plan.hub import Repo, Resolution, resolve_commit
from kvdistill.plan.hub_models import PRETRAINED
from kvdistill.plan.task_files import list_repositories, list_versions

SUITE = "kvdistill.evaluate.suite.Suite"


@dataclass
class Pins:
    """Pins configs, looking each input up once."""

    strict: bool = True
    """False (a plan): asks no network, and what stays a branch is listed, not refused."""
    hashes: dict[str, str] = field(default_factory=dict)
    commits: dict[Repo, Resolution] = field(default_factory=dict)
    unresolved: dict[str, str] = field(default_factory=dict)
    """Repository at branch -> why it has no commit."""
    root: Path | None = None
    """Where large files are on record that were hashed before; None: each is read."""

    def __call__(self, node: Any, path: str = "") -> Any:
        """The node with `sha256` beside every local `path` or `root`, and commits for branches.

        Raises ConfigError for a missing file, for a folder that is no model where a model's is
        named and, if strict, for a branch without a commit.
        """
        if isinstance(node, list):
            return [self(value, f"{path}[{i}]") for i, value in enumerate(node)]
        if not isinstance(node, Mapping):
            return node
        if isinstance(node.get("hub"), str):
            return self.pin_commit(node, path)
        if node.get("_target_") == SUITE:
            return self.pin_suite(node, path)
        key = "root" if "root" in node else "path"
        if "_target_" not in node or not isinstance(node.get(key), str):
            return self.pin_children(node, path)
        # Below a root of local copies nothing is read from the hub.
        pinned = dict(node) if key == "root" else self.pin_children(node, path)
        digest = self.hash_path(node[key], f"{path}{key}")
        if node["_target_"] == PRETRAINED:
            check_model_folder(node[key], node.get("gguf_file"), f"{path}{key}", f"{path}gguf_file")
        return pinned | {"sha256": digest}

    def pin_children(self, node: Mapping[Any, Any], path: str) -> dict[Any, Any]:
        """The node with its own nodes pinned. Keys may be numbers, as those of `layers.map`."""
        return {key: self(value, f"{path}{key}.") for key, value in node.items()}

    def hash_path(self, local: str, path: str) -> str:
        """Sha256 of a local file or folder."""
        if local not in self.hashes:
            check_local_path(local, path)
            self.hashes[local] = sha256(Path(local), self.find_hasher())
        return self.hashes[local]

    def find_hasher(self) -> Callable[[Path], str] | None:
        """What knows files that were hashed before; None in a root where nothing was made yet.

        There a plan leaves nothing either.
        """
        if self.root is None or not layout.artifacts_folder(self.root).is_dir():
            return None
        return make_hasher(layout.artifacts_folder(self.root) / layout.HASHES)

    def resolved_commits(self) -> dict[Repo, str]:
        """Every repository that has a commit, with it."""
        return {repo: found.commit for repo, found in self.commits.items() if found.commit}

    def pin_commit(self, node: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The node with its branch replaced by a commit. A data set names no `_target_`."""
        kind = "model" if "_target_" in node else "dataset"
        repo = Repo(node["hub"], kind, str(node.get("revision") or "main"))
        commit = self.find_commit(repo, path, "Give the commit itself, or fetch")
        return dict(node) if commit is None else {**node, "revision": commit}

    def pin_suite(self, node: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The suite with the commits of its benchmarks, where they are read from the hub.

        And with the versions of its tasks' protocols: an edited protocol is another run.
        """
        names = [*node.get("tasks", ()), *node.get("beside", ())]
        pinned = {**node, "versions": list_versions(names)}
        if node.get("data_root") is not None:
            return pinned
        repos = [Repo(name, "dataset", "main") for name in list_repositories(names)]
        way_out = "Give tasks.data_root a folder with copies, or fetch"
        commits = {repo.name: self.find_commit(repo, path, way_out) for repo in repos}
        return {**pinned, "revisions": {name: at for name, at in commits.items() if at}}

    def find_commit(self, repo: Repo, path: str, way_out: str) -> str | None:
        """The commit of a branch; None where a plan that computes nothing may leave it open."""
        if repo not in self.commits:
            self.commits[repo] = resolve_commit(repo, online=self.strict)
        resolution = self.commits[repo]
        if resolution.commit is None and self.strict:
            raise ConfigError(
                f"{path}revision={repo.revision} of {repo.name} must become a commit before "
                f"anything runs, and the hub does not say which: {resolution.why}. {way_out} "
                f"{repo.name} into the local cache where there is a network."
            )
        if resolution.commit is None:
            self.unresolved[f"{repo.name}@{repo.revision}"] = resolution.why
        return resolution.commit


def pin_config(node: Any) -> Any:
    """A config pinned on its own."""
    return Pins()(node)


def assume_commits(node: Any) -> Any:
    """The config as if every branch had a commit, for checks that read nothing from the hub."""
    if isinstance(node, list):
        return [assume_commits(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    assumed = {key: assume_commits(value) for key, value in node.items()}
    if isinstance(assumed.get("hub"), str):
        repo = Repo(assumed["hub"], "model", str(assumed.get("revision") or "main"))
        assumed["revision"] = repo.revision if repo.is_pinned else "0" * 40
    return assumed
