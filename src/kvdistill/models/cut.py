"""A nano student cut from a nano teacher, as smollm's is from SmolLM2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kvdistill.geometry import Geometry
from kvdistill.models.layer_pruning import Pruned
from kvdistill.models.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Keeps the named layers of a teacher, which is trained again here: the same bits."""

    parent: Mapping[str, Any]
    """The teacher's node, its `build` made."""
    keep: list[int]

    def build(
        self,
        geometry: Geometry,
        split: Path,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        """Writes the cut model and its parent's tokenizer as a Hugging Face folder.

        Raises ConfigError for a layer that the parent has not.
        """
        with TemporaryDirectory() as whole:
            self.parent["build"].build(Geometry.of(self.parent), split, Path(whole), progress)
            Pruned(source=Pretrained(path=whole), keep=self.keep).build(
                geometry, split, out, lambda *_: None
            )
