"""The student's own answers: what writes them, and that a run compares on them and labels none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kvdistill.config.schema import OnPolicy
from kvdistill.train.on_policy.own_texts import OwnBatch, OwnTexts
from tests.train import runs
from tests.train.answers.test_logit_terms import read_alike
from tests.train.runs import STEPS, assert_same_weights, read_lines

pytestmark = pytest.mark.integration

Make = Callable[..., Any]
SEQ_LEN = 40
ALL: dict[str, Any] = {"every": 2, "texts": None, "max_new_tokens": None, "temperature": 1.0}


@pytest.fixture(scope="module")
def tiny() -> Any:
    from tests.evaluate.tiny_models import byte_tokenizer, make_tiny_model

    tokenizer = byte_tokenizer()
    return make_tiny_model(tokenizer, initializer_range=0.3).eval(), tokenizer


@pytest.fixture
def make_own(tiny: Any) -> Make:
    """(own texts of some settings, the batch of all given texts)."""
    from kvdistill.alignment.soft import Soft
    from kvdistill.data.collate import Collator, TextDataset
    from kvdistill.data.prompt_style import RenderedText
    from kvdistill.data.tokenise import Tokeniser

    def make(seed: int = 0, rows: tuple[int, ...] = (0, 1, 2), **settings: Any) -> Any:
        tokeniser = Tokeniser(tiny[1], "student")
        texts = [
            RenderedText(
                id=f"r{n}:cot", task="t", style="cot", prompt=f"Question: {n}?\nReasoning:",
                answer=f" so #### {n}",
            )
            for n in range(3)
        ]  # fmt: skip
        given = TextDataset(texts, tokeniser, {"a": tokeniser}, Soft(), SEQ_LEN)
        collate = Collator(tokeniser.pad_token_id, {"a": tokeniser.pad_token_id})
        own = OwnTexts(OnPolicy(**(ALL | settings)), given, collate, seed)
        return own, collate([given[row] for row in rows])

    return make


def read_rows(tiny: Any, own: Any) -> dict[str, str]:
    tokens = own.batch.student
    rows = zip(own.batch.ids, tokens.ids, tokens.mask, strict=True)
    return {text: tiny[1].decode(ids[mask].tolist()) for text, ids, mask in rows}


def test_a_text_is_the_same_question_with_what_the_student_writes(
    tiny: Any, make_own: Make
) -> None:
    texts, given = make_own(temperature=0.0)
    own = texts.write_batch(tiny[0], given, 0)
    assert own.batch.ids == given.ids
    assert own.batch.tasks == given.tasks
    for text, answer in zip(read_rows(tiny, own).values(), own.answers, strict=True):
        prompt = next(each.prompt for each in texts.texts.texts if text.startswith(each.prompt))
        assert text.removeprefix(prompt).startswith(answer.text[:8])
    assert list(own.batch.teachers) == ["a"]
    assert own.batch.student.ids.shape[1] <= SEQ_LEN
    lengths = [each.prompt_tokens + each.tokens for each in own.answers]
    assert own.written.tokens == sum(lengths)
    assert own.written.pairs == sum(n * n for n in lengths)


def test_what_is_written_hangs_on_seed_step_and_text_alone(tiny: Any, make_own: Make) -> None:
    import torch

    texts, given = make_own()
    before = torch.get_rng_state()
    first = read_rows(tiny, texts.write_batch(tiny[0], given, 4))
    assert torch.equal(before, torch.get_rng_state())
    again, others = make_own(rows=(2, 0))
    # A rank that has other texts beside it writes the same of those that it has.
    part = read_rows(tiny, again.write_batch(tiny[0], others, 4))
    assert part == {text: first[text] for text in part}
    assert read_rows(tiny, texts.write_batch(tiny[0], given, 6)) != first
    reseeded, _ = make_own(seed=1)
    assert read_rows(tiny, reseeded.write_batch(tiny[0], given, 4)) != first


def test_as_many_texts_and_tokens_are_written_as_are_asked_for(tiny: Any, make_own: Make) -> None:
    texts, given = make_own(texts=2, max_new_tokens=3)
    own = texts.write_batch(tiny[0], given, 0)
    assert own.batch.ids == given.ids[:2]
    assert max(each.tokens for each in own.answers) <= 3
    assert [texts.is_due(step) for step in range(4)] == [True, False, True, False]


def test_a_step_takes_cross_entropy_of_given_texts_and_distances_of_own(distiller: Make) -> None:
    import torch

    from tests.train.conftest import make_batch

    module = distiller().eval()
    given, own = make_batch(), make_batch(seed=7, lengths=(9, 4))
    both, alone, other = module(given, own), module(given), module(own)
    torch.testing.assert_close(both.ce, alone.ce)
    torch.testing.assert_close(both.kv.kv, other.kv.kv)
    assert not torch.allclose(both.kv.kv, alone.kv.kv)


@pytest.mark.parametrize("choice", [(), ("kv=none", "loss.kv_weight=0.0")])
def test_distributions_are_compared_on_own_texts_too(
    distiller: Make, choice: tuple[str, ...]
) -> None:
    import torch

    module = distiller("logits=forward_kl", *choice).eval()
    given, own = read_alike(), read_alike(seed=7, lengths=(9, 4))
    both, other = module(given, own), module(own)
    torch.testing.assert_close(both.ce, module(given).ce)
    torch.testing.assert_close(both.logits.total, other.logits.total)


class Echo(OwnTexts):
    """Writes no answers: each token is what the student finds likeliest behind the one before."""

    def __init__(self, every: int) -> None:
        object.__setattr__(self, "settings", OnPolicy(**(ALL | {"every": every})))

    def write_batch(self, student: Any, given: Any, step: int) -> Any:
        import torch

        from kvdistill.models.generation.write_answers import WrittenText
        from kvdistill.plan.flops import TokenLoad

        assert not student.training
        with torch.no_grad():
            ids = student(**given.student.model_inputs).logits.argmax(dim=2)
        student_tokens = replace(given.student, ids=(ids + step) % 50)
        teachers = {
            # One that reads texts as the student does reads its own ones likewise.
            name: replace(reading, tokens=student_tokens)
            if torch.equal(reading.tokens.ids, given.student.ids)
            else reading
            for name, reading in given.teachers.items()
        }
        batch = replace(given, student=student_tokens, teachers=teachers)
        return OwnBatch(batch, TokenLoad(10, 40), [WrittenText("x", 3, 4, True)])


def test_a_run_that_is_killed_and_goes_on_ends_in_the_same_weights(trained: Make) -> None:
    whole = trained(own_texts=Echo(2))
    with pytest.raises(KeyboardInterrupt):
        trained(own_texts=Echo(2), name="cut", stop=3)
    resumed = trained(own_texts=Echo(2), name="cut")
    assert_same_weights(whole, resumed)
    assert whole.curves.loads == resumed.curves.loads


def test_own_texts_are_counted_apart_and_move_the_student(trained: Make) -> None:
    from kvdistill.train.curves import OWN, WRITTEN

    plain, own = trained(), trained(own_texts=Echo(2))
    assert own.curves.loads["student"] == plain.curves.loads["student"]
    assert own.curves.loads[WRITTEN].tokens == 10 * STEPS // 2
    assert 0 < own.curves.loads[OWN].tokens < own.curves.loads["student"].tokens
    lines = [line for line in read_lines(own) if "own_tokens" in line]
    assert [line["step"] for line in lines] == [1, 3]
    assert {line["own_ended"] for line in lines} == {1.0}
    with pytest.raises(AssertionError):
        assert_same_weights(plain, own)


def test_without_a_weight_on_teachers_own_texts_change_no_bit(trained: Make) -> None:
    weights = ("loss.kv_weight=0", "loss.entropy_weight=0")
    assert_same_weights(trained(*weights), trained(*weights, own_texts=Echo(1)))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_distributions_of_own_texts_are_a_mean_over_their_tokens(
    trained: Make, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    monkeypatch.setattr(runs, "make_batch", read_alike)
    run = trained(
        "logits=forward_kl", "kv=none", "loss.kv_weight=0.0", own_texts=Echo(1),
        size=4 // accumulate, accumulate=accumulate, evaluate=1,
    )  # fmt: skip
    lines = [line for line in read_lines(run) if "own_tokens" in line]
    # Each of their tokens counts as one of so many, however the step is divided.
    assert [line["logits_covered"] for line in lines] == pytest.approx([1.0] * STEPS)
    assert all(line["logits"] > 0 for line in lines)
    assert len(lines) == STEPS
