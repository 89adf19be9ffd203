"""StreamingLLM looks at positions alone."""

import pytest

from kvdistill.compression.streaming_llm import StreamingLLM
from kvdistill.errors import ConfigError
from tests.compression.layers import layer, list_kept_tokens


@pytest.mark.parametrize(
    ("keep", "sinks", "kept"),
    [
        (5, 2, [0, 1, 7, 8, 9]),
        (5, 0, [5, 6, 7, 8, 9]),
        (3, 4, [0, 1, 2]),  # a budget below the sinks keeps the first of them
        (20, 4, list(range(10))),
    ],
)
def test_sinks_and_the_end_stay(keep, sinks, kept):
    assert list_kept_tokens(StreamingLLM(keep=keep, sinks=sinks), layer([10], 14)) == [kept]


def test_a_number_of_sinks_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"compression\.sinks is -1 but must be 0 tokens or more"):
        StreamingLLM(sinks=-1)
