"""The identity changes nothing."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.projection.identity import Identity


def test_k_and_v_are_left_alone(geometry, sources, layer):
    projection = Identity(student=geometry(), teacher=geometry(), layer_pairs=sources)
    projection.fit({})
    kv = layer(2)
    assert projection.project_teacher(kv, (0, 0)) is kv
    assert projection.project_student(kv, (0, 0)) is kv


@pytest.mark.parametrize(("heads", "dim"), [(4, 4), (2, 8), (1, 8)])
def test_another_shape_is_refused_with_both_and_the_way_out(geometry, sources, heads, dim):
    with pytest.raises(
        ConfigError, match=rf"identity .* 2 KV heads of 4 .* {heads} of {dim}\. Use .*ridge"
    ):
        Identity(student=geometry(), teacher=geometry(heads, dim), layer_pairs=sources)
