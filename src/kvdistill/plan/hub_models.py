"""Models that runs read from the hub: which, and whether its cache has them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError

PRETRAINED = "kvdistill.models.pretrained.Pretrained"
"""What a node is built by that may name a hub repository."""


def list_hub_models(configs: Iterable[Config]) -> list[tuple[str, str]]:
    """(repository, revision) of every model that is read from the hub, once."""
    models = [
        (node["hub"], node["revision"])
        for config in configs
        for node in walk_mappings(config)
        if node.get("_target_") == PRETRAINED and node.get("hub") is not None
    ]
    return list(dict.fromkeys(models))


def check_hub_cache(configs: Iterable[Config]) -> None:
    """Refuses a model that jobs without a network would not find in the cache."""
    models = list_hub_models(configs)
    if not models:
        return
    # huggingface_hub is slow to import, and most plans name none of its models.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        for hub, revision in models:
            snapshot_download(hub, revision=revision, local_files_only=True)
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"cluster.offline=true and {hub} at {revision} is not in the cache. "
            "Repeat the command with stage=fetch first, or set cluster.offline=false."
        ) from error


def walk_mappings(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping inside a config, outer before inner."""
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from walk_mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk_mappings(value)
