from kvdistill.evaluate.throughput import measure_throughput
from tests.evaluate.tiny_models import make_tiny_model


def test_every_model_writes_the_same_number_of_tokens(tokenizer):
    model = make_tiny_model(tokenizer)
    model.train()
    lengths = []
    generate = model.generate

    def count_new_tokens(**kwargs):
        out = generate(**kwargs)
        lengths.append(out.shape[1] - kwargs["input_ids"].shape[1])
        return out

    model.generate = count_new_tokens
    assert measure_throughput(model, tokenizer, ["one", "two three"], new_tokens=7) > 0
    assert lengths == [7] * 4
    assert model.training
