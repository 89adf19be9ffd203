"""Texts that fill what a run reads."""

import pytest


@pytest.mark.parametrize(("seq_len", "answer_share"), [(512, 0.6), (64, 0.6), (128, 1.0)])
def test_a_worked_text_fills_the_length_and_its_answer_begins_where_it_should(
    seq_len: int, answer_share: float
) -> None:
    from kvdistill.data.sources.full_length import FullLength
    from kvdistill.data.sources.nano import Nano
    from kvdistill.smoke.random_weights import make_tokenizer

    source = FullLength(of=Nano(rows=4, seed=0), seq_len=seq_len, answer_share=answer_share)
    records = source.records()
    assert len({record.id for record in records}) == len(records) == 28
    assert source.records() == records
    for digits in (1, 3):
        tokenizer = make_tokenizer(768, digits)
        for record in records:
            asked = len(tokenizer(record.question)["input_ids"])
            assert asked + len(tokenizer(record.rationale)["input_ids"]) >= seq_len
            # A short question of its own is longer than a small share.
            assert asked <= max((1 - answer_share) * seq_len, 0) * 1.25 + 40
