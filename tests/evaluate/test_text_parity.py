"""One text of GSM8K: trained on, shown as an example and scored by likelihood, it is the same."""

import json

from hydra import compose
from hydra.utils import instantiate

from kvdistill.evaluate.benchmarks import load_gsm8k, load_gsm8k_likelihood

ROWS = [
    {
        "question": f"Ann has {n} plums and eats {n}. How many are left?",
        "answer": f"She has {n} - {n} = $<<{n}-{n}=0>>0 left.\nThat is <<0*1=0>>0.\n#### 1,00{n}",
    }
    for n in range(1, 4)
]


def test_training_examples_and_likelihood_read_one_text(hydra, tmp_path):
    folder = tmp_path / "gsm8k/main"
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        text = "".join(json.dumps(row) + "\n" for row in ROWS)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    config = compose("config", overrides=["data=gsm8k", f"+benchmarks={tmp_path}", "style=cot"])
    style = instantiate(config.style, _convert_="object")
    records = instantiate(config.data.source, _convert_="object").records()
    trained = [style.render(record)[0] for record in records]
    where = {
        "repo": "", "folder": "gsm8k", "config": "main", "split": "test", "pool": "train",
        "data_root": str(tmp_path), "limit": None, "shots": 0,
    }  # fmt: skip
    scored = load_gsm8k_likelihood(**where)["test"]
    assert [each.answer for each in trained] == [f" {each['worked']}" for each in scored]
    shots = load_gsm8k(**where | {"shots": 2})["test"][0]["shots"]
    assert [(shot["rationale"], shot["target"]) for shot in shots] == [
        (record.rationale, record.answer) for record in records[:2]
    ]
    assert all("<<" not in each.text for each in trained)
