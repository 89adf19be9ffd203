"""A teacher's body: cut to what is read, without reading the rest."""

from pathlib import Path

import torch

from tests.models.zero3_ranks import KINDS, load_teacher_body, save_teachers
from tests.train.conftest import TEACHERS, make_model, make_tokens


def test_a_body_is_the_whole_models_lower_part(tmp_path: Path) -> None:
    save_teachers(tmp_path)
    tokens = make_tokens([7, 5], 8, seed=1)
    for name, kind in KINDS.items():
        model = make_model(TEACHERS[name], kind, seed=3).model
        body = load_teacher_body(tmp_path, name, "float32", "none", 1)
        assert len(body.layers) == 2
        assert not any(parameter.requires_grad for parameter in body.parameters())
        inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask.long()}
        outputs = {}

        def record_output(key: str, part: torch.nn.Module, seen: dict = outputs) -> None:
            part.register_forward_hook(lambda *args: seen.__setitem__(key, args[2]))

        record_output("whole", model.layers[1].self_attn.k_proj)
        record_output("body", body.layers[1].self_attn.k_proj)
        with torch.no_grad():
            model(**inputs)
            body(**inputs)
        assert torch.equal(outputs["whole"], outputs["body"])


def test_its_reading_is_a_phase_of_the_job(tmp_path: Path) -> None:
    from kvdistill.models import load
    from kvdistill.status import StatusWriter, tell_phases_to
    from tests.models.zero3_ranks import build_teacher_node

    save_teachers(tmp_path)
    node = build_teacher_node("a", "float32", "none")
    status = StatusWriter(tmp_path)
    phases: list[str] = []
    write = status.write
    status.write = lambda state, **more: (
        phases.append(more.get("phase", "")),
        write(state, **more),
    )[1]
    with tell_phases_to(status):
        load.load_body(node, "teacher.a", tmp_path / "a", 1)
        load.load_body_and_head(node, "teacher.a", tmp_path / "a")
    assert phases == ["reading a", "", "reading a", ""]
