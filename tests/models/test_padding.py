"""Texts are padded on the right and no model is told where: real tokens do not see padding."""

import pytest
import torch

from kvdistill.models.attention.check_packing import WINDOWS
from kvdistill.types import Tokens
from tests.house import families

LENGTHS = (9, 5, 12)
SMALL_WINDOW = 4


def make_tokens() -> Tokens:
    """Texts of unlike length, all longer than a window."""
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(3, 50, mask.shape, generator=torch.Generator().manual_seed(2))
    return Tokens(ids.masked_fill(~mask, 0), mask, mask)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", families.FAMILIES)
def test_real_tokens_are_read_as_with_an_attention_mask(name: str) -> None:
    config, tokens = families.build_config(name), make_tokens()
    for window in WINDOWS:
        if isinstance(getattr(config, window, None), int):
            setattr(config, window, SMALL_WINDOW)
    model = families.build_model(config)
    assert "attention_mask" not in tokens.model_inputs
    with torch.no_grad():
        ours = model(**tokens.model_inputs, use_cache=False).logits
        masked = model(tokens.ids, attention_mask=tokens.mask.long(), use_cache=False).logits
    torch.testing.assert_close(ours[tokens.mask], masked[tokens.mask], rtol=1e-4, atol=1e-4)
