"""keep_last looks at positions alone."""

from kvdistill.compression.keep_last import KeepLast
from tests.compression.layers import kept, layer


def test_keep_last_keeps_each_texts_own_end():
    assert kept(KeepLast(keep=2), layer([3, 5])) == [[1, 2], [3, 4]]
