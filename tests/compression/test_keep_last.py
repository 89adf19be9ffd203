"""keep_last looks at positions alone."""

from kvdistill.compression.keep_last import KeepLast
from tests.compression.layers import layer, list_kept_tokens


def test_keep_last_keeps_each_texts_own_end():
    assert list_kept_tokens(KeepLast(keep=2), layer([3, 5])) == [[1, 2], [3, 4]]
