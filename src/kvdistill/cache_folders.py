"""Where libraries write below the home, and the variable that moves each elsewhere.

kvdistill itself writes below `root` and the temporary folder alone. Homes that cannot be written
are usual: containers, users without one, a login node's file system that computing nodes mount
read-only.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CacheFolder:
    """One library's folder."""

    holds: str
    variable: str
    """Moves it, and nothing else."""
    base: str
    """The variable that moves this and other libraries' folders; HOME where there is none."""
    default: str
    """Its place below that base."""
    home_default: str
    """Its place below the home, where neither variable is set."""

    def find_place(self, environment: Mapping[str, str]) -> Path:
        """Where the library writes under this environment."""
        if own := environment.get(self.variable):
            return Path(own)
        if self.base != "HOME" and (base := environment.get(self.base)):
            return Path(base) / self.default
        return Path(environment.get("HOME") or os.path.expanduser("~")) / self.home_default  # noqa: PTH111 - Path.home() raises where there is none


CACHES = (
    CacheFolder(
        "models and data of the hub, and code that models bring", "HF_HOME", "XDG_CACHE_HOME",
        "huggingface", ".cache/huggingface",
    ),
    CacheFolder(
        "kernels that DeepSpeed and PyTorch compile", "TORCH_EXTENSIONS_DIR", "XDG_CACHE_HOME",
        "torch_extensions", ".cache/torch_extensions",
    ),
    CacheFolder("kernels that Triton compiles", "TRITON_CACHE_DIR", "TRITON_HOME",
                ".triton/cache", ".triton/cache"),
    CacheFolder("vLLM's compiled graphs", "VLLM_CACHE_ROOT", "XDG_CACHE_HOME",
                "vllm", ".cache/vllm"),
    CacheFolder("matplotlib's list of fonts", "MPLCONFIGDIR", "XDG_CONFIG_HOME",
                "matplotlib", ".config/matplotlib"),
)  # fmt: skip


def list_unwritable_caches(environment: Mapping[str, str]) -> Iterator[tuple[CacheFolder, Path]]:
    """The folders that cannot be made or written, with where they are."""
    for cache in CACHES:
        place = cache.find_place(environment)
        if not can_write_below(place):
            yield cache, place


def can_write_below(folder: Path) -> bool:
    """Whether a file can be written there, or where it would have to be made."""
    try:
        existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
        # os.access knows nothing of read-only mounts by the network; writing does.
        with tempfile.TemporaryFile(dir=existing):
            return existing is not None
    except OSError:
        return False


def explain_unwritable_cache(error: BaseException) -> str | None:
    """One line for an error of writing below the home or in a library's cache; None for others.

    It names the path, the variable that moves it and the one that moves all.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and isinstance(seen.filename, str | bytes):
            path = Path(os.fsdecode(seen.filename))
            if (line := _describe(path, str(seen.strerror))) is not None:
                return line
        seen = seen.__cause__ or seen.__context__
    return None


def _describe(path: Path, reason: str) -> str | None:
    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - as above
    places = [(cache, cache.find_place(os.environ)) for cache in CACHES]
    # What fails may be a parent of the folder, which is made on the way to it.
    near = [(c, p) for c, p in places if path.is_relative_to(p) or p.is_relative_to(path)]
    if not near and not path.is_relative_to(home):
        return None
    if can_write_below(path):
        return None
    moves = ", ".join(f"{cache.variable} ({cache.holds})" for cache, _ in near)
    way = (
        f"Set {moves}, or HOME for all of them,"
        if near
        else "Set HOME, or root where it lies there,"
    )
    return (
        f"{path} cannot be written ({reason}). {way} to a folder that can, and repeat the command."
    )
