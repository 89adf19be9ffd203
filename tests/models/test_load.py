"""A teacher's body: cut to what is read, without reading the rest."""

from pathlib import Path

import torch

from tests.models.zero3_ranks import KINDS, body, saved
from tests.train.conftest import TEACHERS, make_model, make_tokens


def test_a_body_is_the_whole_models_lower_part(tmp_path: Path) -> None:
    saved(tmp_path)
    read = make_tokens([7, 5], 8, seed=1)
    for name, kind in KINDS.items():
        whole = make_model(TEACHERS[name], kind, seed=3).model
        found = body(tmp_path, name, "float32", "none", 1)
        assert len(found.layers) == 2
        assert not any(parameter.requires_grad for parameter in found.parameters())
        reads = {"input_ids": read.ids, "attention_mask": read.mask.long()}
        seen = {}

        def note(key: str, part: torch.nn.Module, seen: dict = seen) -> None:
            part.register_forward_hook(lambda *args: seen.__setitem__(key, args[2]))

        note("whole", whole.layers[1].self_attn.k_proj)
        note("body", found.layers[1].self_attn.k_proj)
        with torch.no_grad():
            whole(**reads)
            found(**reads)
        assert torch.equal(seen["whole"], seen["body"])
