from kvdistill.evaluate.throughput import compare_throughput
from tests.evaluate.tiny_models import make_tiny_model


def test_every_model_writes_the_same_number_of_tokens(tokenizer):
    models = [make_tiny_model(tokenizer) for _ in range(2)]
    lengths = []

    def count_new_tokens(model):
        generate = model.generate

        def generate_and_count(**kwargs):
            out = generate(**kwargs)
            lengths.append((model, out.shape[1] - kwargs["input_ids"].shape[1]))
            return out

        return generate_and_count

    for model in models:
        model.train()
        model.generate = count_new_tokens(model)
    rates = compare_throughput(models, tokenizer, ["one", "two three"], new_tokens=7, repeats=2)
    assert min(rates) > 0
    # Two tokens first, which pay for what is set up once; then in turn.
    assert lengths == [(model, count) for count in (2, 7, 7) for model in models]
    assert all(model.training for model in models)


def test_slow_rounds_are_few_and_progress_is_told(tokenizer):
    done = []
    rates = compare_throughput(
        [make_tiny_model(tokenizer)], tokenizer, ["one"], new_tokens=2, most_s=0.0,
        progress=lambda *counts: done.append(counts),
    )  # fmt: skip
    assert rates[0] > 0
    assert done == [(0, 5)]
