"""The teacher's K and V as they are, where its KV heads and head size are the student's."""

from collections.abc import Mapping, Sequence

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.projection.base import MapId, Projection
from kvdistill.types import KV


class Identity(Projection):
    """Leaves K and V alone."""

    mixes_heads = False

    def __init__(
        self, *, student: Geometry, teacher: Geometry, layer_pairs: Sequence[LayerPair]
    ) -> None:
        super().__init__(student=student, teacher=teacher, layer_pairs=layer_pairs)
        own, other = (student.kv_heads, student.head_dim), (teacher.kv_heads, teacher.head_dim)
        if own != other:
            raise ConfigError(
                f"projection=identity needs equal KV shapes, but the student has {own[0]} KV heads "
                f"of {own[1]} and the teacher {other[0]} of {other[1]}. Use projection=ridge."
            )

    def fit(self, moments: Mapping[MapId, tuple[Moments, Moments]]) -> None:
        return

    def project_teacher(self, kv: KV, map_id: MapId) -> KV:
        return kv
