"""What is taken from Hydra's private modules, since no public way exists: all of it, here.

But for the class of its sweeper, which only hydra_plugins/kvdistill_sweeper.py may import: Hydra
runs that class's module again when it looks for plugins, and a class kept from before is another.

Checked with Hydra 1.3; tests/config/test_hydra_internals.py has a test for each, so that another
Hydra which moves or changes one fails there by name.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.core.default_element import GroupDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf, flag_override
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from kvdistill.config import types

TOP_PACKAGES = (None, "", "_global_")
"""Of the files whose keys are those of the whole config."""


class FileCache(CachingConfigRepository):
    """conf/ as Hydra reads it, each file parsed once.

    Hydra's public `compose` parses every file anew, which for a sweep of many arms is most of the
    time that a plan takes. What it returns is shared between compositions, so values are set only
    in a copy. `extra` holds what else was made of these files.
    """

    def __init__(self, repository: Any) -> None:
        super().__init__(repository)
        self.extra: dict[Any, Any] = {}
        self.placed: dict[Any, Any] = {}
        self.copies = True  # but while placed files are merged, which are copied themselves

    def __deepcopy__(self, _: Any) -> "FileCache":
        # Hydra copies its repository for every composition, and would begin with an empty cache.
        return self

    def load_config(self, config_path: str) -> Any:
        """The file as it was parsed; a copy of one that lies at the top of the config.

        Hydra merges later files into the nodes of such a file itself, and they would be read there
        by the next composition; those of a group it copies when it puts them into their package.
        """
        loaded = super().load_config(config_path)
        top = loaded is not None and loaded.header.get("package") in TOP_PACKAGES
        if loaded is None or not top or not self.copies:
            return loaded
        return replace(loaded, config=copy.deepcopy(loaded.config))

    def initialize_sources(self, config_search_path: Any) -> None:
        """Another search path is another set of files."""
        self.cache.clear()
        self.placed.clear()
        super().initialize_sources(config_search_path)


def get_config_loader() -> ConfigLoaderImpl:
    """That of the initialised Hydra; the public interface lacks its repository."""
    config_loader = GlobalHydra.instance().config_loader()
    assert isinstance(config_loader, ConfigLoaderImpl)
    return config_loader


def enable_file_cache() -> None:
    """Parses each file once from now on, for this initialisation of Hydra."""
    config_loader = get_config_loader()
    if not isinstance(config_loader.repository, FileCache):
        config_loader.repository = cast("ConfigRepository", FileCache(config_loader.repository))


def get_file_cache() -> FileCache | None:
    """The cache, where it was enabled."""
    repository = cast("Any", get_config_loader().repository)
    return repository if isinstance(repository, FileCache) else None


def select_value_overrides(overrides: Sequence[Override]) -> list[Override]:
    """Those that set a value; the others choose files. Only Hydra knows which is which."""
    values = defaults_list.Overrides(
        get_config_loader().repository, list(overrides)
    ).config_overrides
    return [value for value in values if not value.is_hydra_override()]


def set_values(config: Any, values: Sequence[Override]) -> None:
    """Sets plain values in a composed DictConfig, as Hydra does after it has merged the files."""
    ConfigLoaderImpl._apply_overrides_to_config(list(values), config)


def list_choice_settings(group: str, choice: str) -> list[str]:
    """Dotted paths of what a choice of a group over all groups sets: its choices and its values."""
    loaded = get_config_loader().repository.load_config(f"{group}/{choice}")
    if loaded is None:
        return []
    chosen = [each for each in loaded.defaults_list or [] if isinstance(each, GroupDefault)]
    content = OmegaConf.to_container(loaded.config, resolve=False)
    leaves = [path for path, _ in types.walk_leaves("", content)]
    return [
        *(str(each.group).strip("/").replace("/", ".") for each in chosen),
        *(path for path in leaves if not path.startswith(("defaults", "fixes"))),
    ]


@contextmanager
def skip_unread_choices() -> Iterator[None]:
    """While this lasts, Hydra makes no map of all choices for a file that interpolates none.

    It makes that map for every file it composes, which is nearly half of the time that takes, and
    reads it only where a defaults list has `${...}`.
    """
    make_map = defaults_list._create_interpolation_map

    def make_map_if_read(overrides: Any, defaults: Any, self_added: bool) -> Any:
        if any(default.is_interpolation() for default in defaults):
            return make_map(overrides, defaults, self_added)
        return None

    defaults_list._create_interpolation_map = make_map_if_read  # type: ignore[assignment]
    try:
        yield
    finally:
        defaults_list._create_interpolation_map = make_map


@contextmanager
def merge_placed_files() -> Iterator[None]:
    """While this lasts, Hydra merges files that it has put into their packages once.

    By itself it does so for every composition, and after each file it tells every node of the whole
    config who holds it: together two fifths of its time. What cannot be merged is left to its own
    loop, which says in which file that stands.
    """
    cache = get_file_cache()
    if cache is None:
        yield
        return
    load = ConfigLoaderImpl._load_single_config
    merge = ConfigLoaderImpl._compose_config_from_defaults_list

    def load_placed(self: Any, default: Any, repo: Any) -> Any:
        place = (default.config_path, default.package, default.primary)
        if place not in cache.placed:
            cache.placed[place] = load(self, default=default, repo=repo)
        file = cache.placed[place]
        return replace(file, config=copy.deepcopy(file.config))  # its nodes become the config's

    def merge_once(self: Any, defaults: Any, repo: Any) -> Any:
        try:
            whole = merge_files([load_placed(self, default, repo) for default in defaults])
        except (OmegaConfBaseException, AssertionError):
            return merge(self, defaults=defaults, repo=repo)
        loader: Any = SimpleNamespace(_load_single_config=lambda **_: whole)
        return merge(loader, defaults=defaults[:1], repo=repo)  # what it does at the end

    cache.copies = False
    ConfigLoaderImpl._load_single_config = load_placed  # type: ignore[method-assign]
    ConfigLoaderImpl._compose_config_from_defaults_list = merge_once  # type: ignore[method-assign]
    try:
        yield
    finally:
        cache.copies = True
        ConfigLoaderImpl._load_single_config = load  # type: ignore[method-assign]
        ConfigLoaderImpl._compose_config_from_defaults_list = merge  # type: ignore[method-assign]


def merge_files(files: Sequence[Any]) -> Any:
    """The files as one, whose nodes are theirs. Raises what OmegaConf raises."""
    config = OmegaConf.create()
    with flag_override(config, "no_deepcopy_set_nodes", True):
        for file in files:
            BaseContainer._map_merge(config, file.config)
    config._re_parent()
    return replace(files[0], config=config)


@contextmanager
def check_loaded_configs(check: Callable[[Any], None]) -> Iterator[None]:
    """While this lasts, whatever config Hydra loads is checked before Hydra acts on it.

    Hydra's callbacks come too late: by then it has made folders, set variables and called what the
    config names.
    """
    load = ConfigLoaderImpl.load_configuration

    def load_and_check(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> Any:
        config = load(self, *args, **kwargs)
        check(config)
        return config

    ConfigLoaderImpl.load_configuration = load_and_check  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]
