"""Planted leaks found, false alarms on real rows, and what it costs.

Run as `python -m tests.bench.leakage [--quick] [--benchmarks FOLDER]`; FOLDER holds the
benchmark files of README.md's real-data section. Without it, generated rows stand in and the
false alarms are those between unrelated generated texts.
"""

import argparse
import itertools
import json
import random
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from kvdistill.data.contamination.ngrams import Vocabulary
from kvdistill.data.contamination.overlap import Corpus, find_exact_copies, find_near_copies

BOUNDS = {
    "least_recall_exact": 1.0,
    "least_recall_altered": 1.0,
    "least_recall_embedded": 1.0,
    "least_recall_changed": 0.95,
    "least_recall_tenth": 0.95,
    "most_false_positive_rate": 0.001,
    "most_pair_s": 30.0,
    "most_growth_of_memory": 2.6,
}
FULLWIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
UNIT = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|\W+|_+")
"""What is changed: a word, a number, a Chinese character; punctuation stays."""
STOPS = ",.;!?\uff0c\u3002\uff1b\uff01\uff1f"
QUESTIONS = ("question", "Question", "problem", "input")


def main() -> int:
    """Prints the figures; 0 if every bound holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer rows, same figures")
    parser.add_argument("--benchmarks", type=Path, default=Path("../shared/benchmarks"))
    arguments = parser.parse_args()
    rows = 4_000 if arguments.quick else 20_000
    files = (
        read_benchmarks(arguments.benchmarks) if arguments.benchmarks.is_dir() else generate_texts()
    )
    figures: dict[str, object] = {"real_rows": arguments.benchmarks.is_dir()}
    figures |= (
        measure_recall(files) | false_alarms(files) | measure_shifted(files) | speed(files, rows)
    )
    ok = (
        all(
            value >= BOUNDS[f"least_{name.removesuffix('_en').removesuffix('_zh')}"]
            for name, value in figures.items()
            if name.startswith("recall") and isinstance(value, float)
        )
        and figures["false_positive_rate"] <= BOUNDS["most_false_positive_rate"]  # type: ignore[operator]
        and figures["shifted_found"] == 1.0
        and figures["pair_s"] <= BOUNDS["most_pair_s"]  # type: ignore[operator]
        and figures["growth_of_memory"] <= BOUNDS["most_growth_of_memory"]  # type: ignore[operator]
    )
    result = {"name": "leakage", "figures": figures, "bounds": BOUNDS, "ok": ok}
    sys.stdout.write(json.dumps(result) + "\n")
    return 0 if ok else 1


def read_benchmarks(folder: Path) -> dict[str, list[str]]:
    """Questions with their options, by benchmark and file."""
    files = {}
    for path in sorted(folder.rglob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        name = str(path.relative_to(folder).with_suffix(""))
        files[name] = [question(json.loads(line)) for line in lines if line]
    return files


def question(row: dict[str, str]) -> str:
    """What is asked, with the options where there are some."""
    text = next(row[key] for key in QUESTIONS if key in row)
    options = [f"{letter}. {row[letter]}" for letter in "ABCD" if letter in row]
    return "\n".join([text, *options])


def generate_texts() -> dict[str, list[str]]:
    """Unrelated texts in two languages, in place of real ones."""
    draw = random.Random("leakage")
    words = [
        "".join(draw.choices("abcdefghijklmnopqrst", k=draw.randint(2, 9))) for _ in range(6000)
    ]
    signs = [chr(draw.randint(0x4E00, 0x9FA5)) for _ in range(3000)]
    return {
        f"{name}/{half}": [
            joint.join(draw.choices(units, k=draw.randint(20, 80))) for _ in range(800)
        ]
        for name, joint, units in (("english", " ", words), ("cmmlu", "", signs))
        for half in ("train", "test")
    }


def measure_recall(files: dict[str, list[str]]) -> dict[str, object]:
    """Of 200 items a language and kind, the share found in a haystack that hides them."""
    figures: dict[str, object] = {}
    for language, chinese in (("en", False), ("zh", True)):
        texts = [
            text
            for name, each in files.items()
            if name.startswith(("cmmlu", "ceval")) == chinese
            for text in each
        ]
        draw = random.Random(f"plant {language}")
        texts = list(dict.fromkeys(texts))
        items = draw.sample(texts, 200)
        hidden = set(items)
        rest = [text for text in texts if text not in hidden]
        for kind, plant in kinds(rest).items():
            planted = [plant(item, draw) for item in items]
            hay = rest + planted
            draw.shuffle(hay)
            recalled = {first for first, _ in hits(items, hay)}
            figures[f"recall_{kind}_{language}"] = len(recalled) / len(items)
    return figures


def kinds(rest: list[str]) -> dict[str, Callable[[str, random.Random], str]]:
    """The ways to plant an item."""

    def embed_item(item: str, draw: random.Random) -> str:
        return f"{draw.choice(rest)}\n{item} {draw.choice(rest)}"

    def change_words(item: str, draw: random.Random) -> str:
        units = UNIT.findall(item)
        others = [unit for text in rest[:200] for unit in UNIT.findall(text) if unit.isalnum()]
        words = [place for place, unit in enumerate(units) if unit.isalnum()]
        for place in draw.sample(words, round(0.1 * len(words))):
            units[place] = draw.choice(others)
        return "".join(units)

    def change_every_tenth(item: str, draw: random.Random) -> str:
        """The tenth, twentieth, ... character of a Chinese item, word of another."""
        is_chinese = any("\u3400" <= sign <= "\u9fff" for sign in item)
        units = list(item) if is_chinese else re.split(r"(\s+)", item)
        places = [place for place, unit in enumerate(units) if unit.strip()]
        # Of the same kind of text, or the change would show by itself.
        others = [unit for text in rest[:200] for unit in (text if is_chinese else text.split())]
        for place in places[9::10]:
            units[place] = draw.choice([unit for unit in draw.choices(others, k=9) if unit.strip()])
        return "".join(units)

    return {
        "tenth": change_every_tenth,
        "exact": lambda item, _: item,
        "altered": alter_form,
        "embedded": embed_item,
        "changed": change_words,
    }


def alter_form(item: str, draw: random.Random) -> str:
    """Another case, width or punctuation, or several."""
    way = draw.randrange(5)
    if way in (0, 4):
        item = draw.choice([item.upper(), item.swapcase(), item.title()])
    if way in (1, 4):
        item = item.translate(FULLWIDTH)
    if way == 2:
        item = "".join(c for c in item if c.isalnum() or c.isspace())
    if way in (3, 4):
        item = "".join(f" {draw.choice(',;!?')} " if c in STOPS else c for c in item)
    return item


def hits(one: list[str], other: list[str]) -> Iterator[tuple[int, int]]:
    """Every pair of places that the check reports."""
    vocabulary = Vocabulary()
    left, right = Corpus(one, vocabulary), Corpus(other, vocabulary)
    numbers = np.array([any(c.isdigit() for c in token) for token in vocabulary.ids], bool)
    for match in find_exact_copies(left, right) + find_near_copies(left, right, numbers):
        yield match.first, match.second


def false_alarms(files: dict[str, list[str]]) -> dict[str, object]:
    """Unrelated benchmarks against each other, and GSM8K train against its own test."""
    groups: dict[str, list[str]] = {}
    for name, texts in files.items():
        parts = Path(name).parts
        dev = parts[-1] in ("dev", "train")
        groups.setdefault(f"{parts[0]}{' train' if dev else ''}", []).extend(texts)
    checked, alarms, shown = 0, 0, []
    for one, other in itertools.combinations(groups, 2):
        shared = sorted(hits(groups[one], groups[other]))
        checked += len(groups[other])
        alarms += len({second for _, second in shared})
        shown += [(groups[one][a][:80], groups[other][b][:80]) for a, b in shared[:2]]
    for pair in shown:
        sys.stdout.write(f"shared: {pair[0]!r} | {pair[1]!r}\n")
    return {"checked": checked, "alarms": alarms, "false_positive_rate": alarms / checked}


def measure_shifted(files: dict[str, list[str]]) -> dict[str, object]:
    """A benchmark against itself, rotated by one: every item must be found at its new place."""
    texts = list(dict.fromkeys(files.get("math500/test") or next(iter(files.values()))))
    turned = texts[1:] + texts[:1]
    pairs = {pair for pair in hits(texts, turned) if texts[pair[0]] == turned[pair[1]]}
    return {"shifted_found": len(pairs) / len(texts)}


def speed(files: dict[str, list[str]], rows: int) -> dict[str, object]:
    """Two sets of `rows` texts made of halves of real ones, and memory at two sizes."""
    halves = [text[: len(text) // 2] for texts in files.values() for text in texts]
    draw = random.Random("speed")
    draw.shuffle(halves)
    one, other = join_halves(halves, rows, draw)
    start = time.process_time()
    pairs = list(hits(one, other))
    seconds = time.process_time() - start
    small, large = (
        # The more rows, the more halves: a text has as many partners in either size.
        peak_bytes(*join_halves(halves[: count // 2], count, draw))
        for count in (rows // 8, rows // 4)
    )
    return {
        "rows": rows,
        "pair_s": round(seconds, 2),
        "pair_hits": len(pairs),
        "peak_bytes_a_row": large // (rows // 2),
        "growth_of_memory": round(large / small, 2),
    }


def join_halves(halves: list[str], rows: int, draw: random.Random) -> tuple[list[str], list[str]]:
    """Two sets of `rows` texts, each of two halves."""
    one, other = ([" ".join(draw.choices(halves, k=2)) for _ in range(rows)] for _ in range(2))
    return one, other


def peak_bytes(one: list[str], other: list[str]) -> int:
    """Most memory allocated at once by one comparison."""
    tracemalloc.start()
    list(hits(one, other))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


if __name__ == "__main__":
    sys.exit(main())
