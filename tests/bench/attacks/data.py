"""Questions that training has seen, and rows that cannot train or feed what is asked of them."""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from kvdistill import layout
from kvdistill.config.build import build_node
from kvdistill.data.build import DataSettings, build_data, check_split, make_documents
from kvdistill.data.leakage import Document, DocumentSet, Leakage
from kvdistill.data.sources.base import Source
from kvdistill.data.sources.nano import Nano
from kvdistill.data.split import Split, read_split, write_split
from kvdistill.errors import UserError
from kvdistill.geometry import Geometry
from kvdistill.records import Record
from kvdistill.train.inputs import read_texts
from tests.bench.attacks.outcome import Outcome, judge_text
from tests.bench.attacks.studies import HOME, pretend_run, report_study
from tests.stats import fake

ITEMS = 30
LEAST_FOUND = 28
"""Of ITEMS changed in every tenth character."""
TEMPLATE = "小明在学校的商店里有{}个苹果, 后来又买了{}个新鲜的红苹果, 请问他现在一共有多少个苹果?"
PLANKS = "A rope bridge needs {} planks of oak, {} of pine and {} nails; what is the sum?"


@dataclass(frozen=True, kw_only=True)
class Rows(Source):
    """A source of these rows."""

    rows: list[Record]

    def records(self) -> list[Record]:
        """All of them."""
        return self.rows


def attack_21_clean_badge_over_marked_items(folder: Path) -> Outcome:
    """Near copies that are only reported: the check passes, and a third of its items is marked."""
    items = [record.question for record in Nano(rows=30, seed=0).generate_family("nano_truth")]
    train = [text.replace("A. ", "A. the ") for text in items[:10]]
    report = compare_texts(train, items)
    marked = len(report["tainted"]["items"])
    if not marked:
        raise AssertionError("no item is marked: the attack cannot be tried")
    return judge_text(show_report(folder, report), f"{marked} of {len(items)} scored items")


def attack_21_generated_test_items_seen_in_training(folder: Path) -> Outcome:
    """Nano as it comes: how many of its test items the check itself finds in training."""
    nano: Any = OmegaConf.to_container(OmegaConf.load(HOME / "conf/data/nano.yaml"))
    rooms = {name: build_node(f"data.{name}", nano[name]) for name in ("split", "leakage")}
    report = build_data(Nano(rows=200, seed=0), DataSettings(**rooms), folder / "split")
    marked, items = len(report["tainted"]["test"]), report["sets"]["test"]["rows"]
    verdict = "refused" if marked <= 0.1 * items else "passed"
    return Outcome(verdict, f"{marked} of {items} test items are marked")


def attack_22_numbers_changed_in_one_template(folder: Path) -> Outcome:
    """Items that are training rows with other numbers; what no method sees must be said."""
    train, items = ([PLANKS.format(n, n + k, 7 * n) for n in range(11, 15)] for k in (3, 400))
    report = compare_texts(train, items)
    return judge_text(
        show_report(folder, report), "a scored item differ in numbers alone",
        "No method sees: paraphrase", "translation",
    )  # fmt: skip


def attack_22_chinese_items_changed_letter_by_letter(folder: Path) -> Outcome:
    """Every tenth character of Chinese items with formulas is another."""
    del folder
    draw = random.Random(0)
    signs = [chr(code) for code in range(0x4E00, 0x5E00)]
    items = [
        "".join(draw.choices(signs, k=25)) + f"f(x)=\\sqrt{{{draw.randint(2, 9)}x+{n}}}, [1,{n}]"
        + "".join(draw.choices(signs, k=20)) + f"A. {1900 + n}年 B. {n}mol/L C. $HNO_{n % 7}$"
        for n in range(ITEMS)
    ]  # fmt: skip
    changed = [
        "".join("中" if place % 10 == 9 else sign for place, sign in enumerate(item))
        for item in items
    ]
    count = len(compare_texts(changed, items)["tainted"]["items"])
    verdict = "refused" if count >= LEAST_FOUND else "passed"
    return Outcome(verdict, f"{count} of {ITEMS} are found")


def attack_23_near_copies_left_after_dropping(folder: Path) -> Outcome:
    """`near=drop` of many rows of one template, whose rarer wording then makes new near copies."""
    draw = random.Random(1)
    signs = [chr(code) for code in range(0x4E00, 0x5E00)]
    texts = [TEMPLATE.format(draw.randint(10, 400), draw.randint(2, 11)) for _ in range(150)]
    texts += ["".join(draw.choices(signs, k=30)) for _ in range(150)]
    rows = [make_row(n, text) for n, text in enumerate(texts)]
    report = build_data(Rows(rows=rows), DataSettings(), folder / "split")
    dropped = sum(report["dropped"]["near_copies"].values())
    split = read_split(folder / "split")
    parts = [
        DocumentSet("calibration", "calibration", make_documents(split.train_teachers[::3])),
        DocumentSet("own", "drawn", make_documents(split.test[::2])),
    ]
    try:
        again = check_split(folder / "split", DataSettings(), parts)
    except UserError as error:
        return Outcome("passed", f"{dropped} dropped, and then: {error}")
    left = sum(
        pair["hits"]
        for pair in again["pairs"]
        if pair["method"] == "ngram" and pair["first"] != pair["second"]
    )
    verdict = "passed" if left or not dropped else "refused"
    return Outcome(verdict, f"{dropped} near copies dropped, {left} left")


def attack_24_texts_without_an_answer(folder: Path) -> Outcome:
    """Rows so long that no token of their answer is left within seq_len."""
    question = "how many of the many words of this question are there before its answer " * 8
    rows = [make_row(n, f"{question}{n}") for n in range(12)]
    write_split(Split(rows, rows, rows, rows), folder / "split")
    with initialize_config_dir(str(HOME / "conf"), version_base="1.3"):
        node: Any = OmegaConf.to_container(compose("config", overrides=["arm=sft"]), resolve=True)
    maker = build_node("student.build", node["student"]["build"])
    geometry = Geometry.from_node(node["student"])
    maker.make_tokenizer(geometry, folder / "split").save_pretrained(folder / "student/model")
    needs = {"split": folder / "split", "student": folder / "student"}
    try:
        read_texts(node | {"teachers": {}}, needs, "train_student", None)
    except UserError as error:
        return Outcome("refused", str(error))
    return Outcome("passed", "all texts are read for training, without an answer in any")


def attack_25_generated_tasks_for_own_rows(folder: Path) -> Outcome:
    """`data=jsonl` as the docs have it, with tasks that none of its rows feed."""
    path = folder / "mine.jsonl"
    line = {"question": "How much is 3 and 4?", "rationale": "3 + 4 = 7", "answer": "7"}
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    return judge_refusal(
        pretend_run(folder / "root", "arm=sft", "data=jsonl", f"data.source.path={path}").error,
        "Use tasks=own",
    )


def attack_26_benchmarks_in_no_folder(folder: Path) -> Outcome:
    """A folder of benchmarks that does not exist."""
    error = pretend_run(
        folder, "arm=sft", "tasks=seven", "tasks.data_root=/nonexistent", "references=false"
    ).error
    return judge_refusal(error, "tasks.data_root=/nonexistent is no folder")


def judge_refusal(error: str, needed: str) -> Outcome:
    """Refused where the error says it."""
    return Outcome("refused" if needed in error else "passed", error or "it began to build")


def make_row(number: int, question: str) -> Record:
    """A row of one's own."""
    return Record(
        id=f"row-{number}", source="own", task="own", question=question, rationale="so", answer="7"
    )


def compare_texts(train: Sequence[str], items: Sequence[str]) -> dict[str, Any]:
    """The check of items against training rows, as a validation report has it."""
    sets = [
        DocumentSet(name, role, [Document(f"{name}-{n}", text) for n, text in enumerate(texts)])
        for name, role, texts in (("train_student", "train", train), ("items", "drawn", items))
    ]
    result = Leakage(near="report")(sets)
    return {
        "verdict": result.verdict,
        "sets": {each.name: {"role": each.role, "rows": len(each.documents)} for each in sets},
        "tainted": result.tainted,
        "pairs": [asdict(pair) for pair in result.pairs],
    }


def show_report(folder: Path, report: dict[str, Any]) -> str:
    """The page of a study whose data has this validation report."""
    study = fake.write_study(
        folder / "root", {"q": {"base": 0.0, "better": 0.1}}, tasks={"items": 40}, untrained=()
    )
    fake.write_json(study / layout.VALIDATION_REPORT, report)
    return report_study(study, {"resamples": 999})
