"""keep_first looks at positions alone."""

from kvdistill.compression.keep_first import KeepFirst
from tests.compression.layers import layer, list_kept_tokens


def test_keep_first_keeps_the_beginning():
    assert list_kept_tokens(KeepFirst(keep=2), layer([3, 5])) == [[0, 1], [0, 1]]
