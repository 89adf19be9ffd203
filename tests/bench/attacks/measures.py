"""Attempts to earn a word from a measure that cannot carry it, or to claim what nobody judges."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kvdistill import layout
from kvdistill.loss.mse import MSE
from kvdistill.loss.nmse import TargetNMSE, average_texts
from kvdistill.report.format import format_measurement
from kvdistill.report.sections.routing import build_routing_section
from kvdistill.stats.analysis import analyse_question
from kvdistill.stats.hypotheses import build_registration
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from kvdistill.stats.verdicts import SUPPORTED, judge_claims
from kvdistill.types import KV
from tests.bench.attacks.outcome import Outcome, judge_text
from tests.bench.attacks.studies import execute_command
from tests.stats import fake

CLAIMED = """
question: What does learning the routing earn?
arms:
  fixed: {arm: multi_teacher, fusion: fixed}
  learnable: {arm: multi_teacher, fusion: learnable}
seeds: [42, 43, 44]
primary: {arm: learnable, baseline: fixed}
figure: spread
hypotheses:
  - {name: F, arm: learnable, baseline: fixed, measure: macro, at_least: 3.0}
"""
SETTINGS = Settings(resamples=999)
Spoil = Callable[[Path], None]
"""Changes one run's records on disk."""


def write_question(folder: Path, text: str) -> Path:
    """A folder of sweeps with one file, q.yaml."""
    sweeps = folder / "sweeps"
    sweeps.mkdir(exist_ok=True)
    (sweeps / "q.yaml").write_text(text, encoding="utf-8")
    return sweeps


def refuse_slip(folder: Path, right: str, wrong: str, way_out: str) -> Outcome:
    """Whether plan, doctor and run refuse a name with a slip, and say the nearest."""
    sweeps = write_question(folder, CLAIMED.replace(right, wrong))
    error = ""
    for stage in ("plan", "doctor", "run"):
        error = execute_command(folder, "sweep=q", f"stage={stage}", sweeps=sweeps).error
        if way_out not in error:
            return Outcome("passed", f"stage={stage} takes {wrong}: {error or 'no error'}")
    return Outcome("refused", error)


def attack_12_wrong_arm(folder: Path) -> Outcome:
    """A claim about an arm that nobody has."""
    return refuse_slip(
        folder, "arm: learnable, base", "arm: learnabel, base", "Did you mean learnable?"
    )


def attack_12_wrong_measure(folder: Path) -> Outcome:
    """A claim about a measure that nobody takes."""
    return refuse_slip(folder, "measure: macro", "measure: marco", "Did you mean macro?")


def attack_12_wrong_figure(folder: Path) -> Outcome:
    """A figure that the report does not draw."""
    return refuse_slip(folder, "figure: spread", "figure: spraed", "Did you mean spread?")


def attack_12_wrong_primary(folder: Path) -> Outcome:
    """A primary endpoint on an arm that the question does not have."""
    wrong = "primary: {arm: learned"
    return refuse_slip(folder, "primary: {arm: learnable", wrong, "Did you mean learnable?")


def attack_12_wrong_cost(folder: Path) -> Outcome:
    """A cost that no run records."""
    wrong = "measure: efficiency.train_secs"
    return refuse_slip(folder, "measure: macro", wrong, "Did you mean efficiency.train_s?")


def attack_12_wrong_name_in_every_study(folder: Path) -> Outcome:
    """The same in the claims of the stats group, on the command line."""
    claim = "stats.hypotheses=[{name: F, arm: multi_teacher, measure: nano_logik, at_least: 1}]"
    error = execute_command(folder, "stage=plan", claim).error
    if "Did you mean nano_logic?" not in error:
        return Outcome("passed", error or "no error")
    return Outcome("refused", error)


def judge_measure(
    folder: Path,
    measure: str,
    needed: str,
    spoil: Spoil | None = None,
    seeds: Sequence[int] = (42, 43, 44),
) -> Outcome:
    """Whether a recorded claim of "at most 90 %" more, met by far, is still not supported.

    `spoil` is applied to the runs of the arm, `needed` is what the page must say instead.
    """
    claim = {"name": "F", "arm": "tested", "baseline": "plain", "measure": measure, "at_most": 90.0}
    study = fake.write_study(
        folder, {"q": {"plain": 0.0, "tested": 0.0}}, untrained=(), seeds=seeds,
        judged={"q": {"hypotheses": [claim]}}, extra={"hypotheses": build_registration([claim])},
    )  # fmt: skip
    plan = json.loads((study / layout.PLAN).read_text("utf-8"))
    for identity in plan["questions"]["q"]["arms"]["tested"].values() if spoil else ():
        assert spoil is not None
        spoil(folder / plan["runs"][identity]["folder"])
    return judge_words(study, needed)


def judge_words(study: Path, *needed: str) -> Outcome:
    """Shown where no claim of the study is supported, and what the page prints of it says why."""
    (verdict,) = judge_claims(load_study([study]), SETTINGS)
    text = f"{verdict.verdict}: {format_measurement(verdict)}"
    return Outcome("passed", text) if verdict.outcome == SUPPORTED else judge_text(text, *needed)


def edit_json(name: str, change: Callable[[dict[str, Any]], None]) -> Spoil:
    """A change of one JSON file of a run."""

    def spoil(folder: Path) -> None:
        node = json.loads((folder / name).read_text("utf-8"))
        change(node)
        (folder / name).write_text(json.dumps(node), encoding="utf-8")

    return spoil


def attack_13_other_validation_texts(folder: Path) -> Outcome:
    """Cross-entropy on easier texts, as a lower one."""
    easier = edit_json(layout.VALIDATION_TEXTS, lambda node: node.update(digest="easier"))
    return judge_measure(folder, "ce", "other validation texts", easier)


def attack_13_two_seeds(folder: Path) -> Outcome:
    """A KV loss of two seeds."""
    return judge_measure(folder, "kv", "needs 3 in each arm", seeds=(42, 43))


def attack_13_few_texts(folder: Path) -> Outcome:
    """Cross-entropy on so few texts that their spread is not known."""

    def keep_few(node: dict[str, Any]) -> None:
        total = sum(node["ce"]) / sum(node["tokens"])
        for name in ("ids", "tokens", "ce", "kv_nmse", "k_nmse", "v_nmse"):
            node[name] = node[name][:8]
        scale = total / (sum(node["ce"]) / sum(node["tokens"]))
        node["ce"] = [scale * value for value in node["ce"]]

    folders: list[Path] = []

    def spoil_all(run: Path) -> None:
        # The baseline's too: otherwise the texts themselves would differ.
        for each in run.parent.iterdir() if not folders else ():
            edit_json(layout.VALIDATION_TEXTS, keep_few)(each)
        folders.append(run)

    return judge_measure(folder, "ce", "8 validation rows, under", spoil_all)


def attack_13_trained_loss(folder: Path) -> Outcome:
    """The trained loss of two arms, which are sums of other terms."""
    return judge_measure(folder, "loss", "the trained loss weighs other terms in each arm")


def attack_13_other_processor(folder: Path) -> Outcome:
    """Faster, on a faster machine."""

    def move(node: dict[str, Any]) -> None:
        node["efficiency"] |= {"train_s": 1.0, "device": "NVIDIA H200"}

    def slow(run: Path) -> None:
        for each in run.parent.iterdir():
            edit_json(layout.RESULTS, lambda node: node["efficiency"].setdefault("train_s", 99.0))(
                each
            )
        edit_json(layout.RESULTS, move)(run)

    return judge_measure(folder, "efficiency.train_s", "more than one kind of processor", slow)


def attack_14_kv_loss_of_other_teachers(folder: Path) -> Outcome:
    """A student that knows nothing looks better where its teachers agree less."""
    trained, comparable = [], []
    generator = torch.Generator().manual_seed(0)
    shape = (40, 2, 30, 8)
    mask = torch.ones(shape[0], shape[2], dtype=torch.bool)
    for agreement in (0.9, 0.5, 0.1):
        shared, one, other = (torch.randn(shape, generator=generator) for _ in range(3))
        teachers = [agreement**0.5 * shared + (1 - agreement) ** 0.5 * x for x in (one, other)]
        target = sum(teachers) / 2
        constant = target.mean(dim=(0, 2), keepdim=True).expand(shape)
        scale = torch.stack([x.std() for x in teachers]).mean()
        trained.append(float(MSE()(constant, target, mask, scale).mean()))
        nmse = TargetNMSE({"keys": 1.0, "values": 1.0})
        nmse.add(0, KV(constant, constant, mask), KV(target, target, mask))
        comparable.append(average_texts(nmse.compute_by_text()["kv_nmse"]))
    if np.ptp(comparable) > 0.01:
        return Outcome("passed", f"the comparable scale moves too: {comparable}")
    # A claim about kv is judged on it, and a run that has only the trained scale is not compared.
    outcome = judge_measure(folder, "kv", "whose scale is its teachers' own", drop_comparable)
    if outcome.verdict == "passed":
        return outcome
    figures = [", ".join(f"{value:.2f}" for value in each) for each in (trained, comparable)]
    return Outcome("shown", f"constant student {figures[0]} as trained, {figures[1]} as judged; "
                   f"{outcome.evidence}")  # fmt: skip


def drop_comparable(folder: Path) -> None:
    """A run as it was before the comparable scale was logged."""
    curves = folder / layout.CURVES
    lines = [json.loads(line) for line in curves.read_text("utf-8").splitlines()]
    kept = [{k: v for k, v in line.items() if not k.endswith("_nmse")} for line in lines]
    curves.write_text("\n".join(map(json.dumps, kept)) + "\n", encoding="utf-8")


def attack_15_router_that_hardly_moves(folder: Path) -> Outcome:
    """Weights of 0.500 to 0.503, the same in every seed: a tiny p for nothing."""
    claim = {"name": "F", "arm": "learnable", "measure": "routing", "at_most": 0.05}
    study = fake.write_study(
        folder, {"q": {"plain": 0.0, "learnable": 0.0}}, untrained=(),
        judged={"q": {"hypotheses": [claim]}}, extra={"hypotheses": build_registration([claim])},
    )  # fmt: skip
    for path in study.glob(f"runs/*/{layout.ROUTING}"):
        fake.write_json(path, {"schema_version": 1, "weights": write_flat_weights()})
    outcome = judge_words(study, "nats, below stats.routing_min_nats=0.01")
    if outcome.verdict == "passed":
        return outcome
    records = load_study([study])
    analysis = analyse_question(records, records.questions["q"], SETTINGS)
    (figure, _), *_ = build_routing_section(analysis, SETTINGS)
    return judge_text(figure.description, "nats, below stats.routing_min_nats", "permutation p")


def write_flat_weights() -> Mapping[str, Any]:
    """Task -> teacher -> layer -> weight, 0.500 to 0.503."""
    return {
        task: {"one": {"0": 0.5 + 0.0005 * i}, "two": {"0": 0.5 - 0.0005 * i}}
        for i, task in enumerate(fake.TASKS)
    }


def attack_19_bound_without_power(folder: Path) -> Outcome:
    """A bound of 3 in a study whose truth is +3: nobody is told how rarely it is met."""
    sweeps = write_question(folder, CLAIMED.replace("at_least: 3.0", "at_least: 3.0, expected: 8"))
    plan = execute_command(folder, "sweep=q", "stage=plan", sweeps=sweeps)
    rows = [line for line in plan.output.splitlines() if "q: F" in line]
    cells = [cell.strip() for line in rows for cell in line.split("│") if cell.strip()]
    heads = ("claim", "bound", "seeds", "if true", "supported", "corrected", "at the bound")
    if len(cells) < len(heads) or "Assumed (estimate.*)" not in plan.output:
        return Outcome("passed", "the plan does not say how often the claim would be shown")
    powers = dict(zip(heads, cells, strict=False))
    at_bound = float(powers["at the bound"].rstrip("% "))
    if not at_bound <= 2.6 or not float(powers["supported"].rstrip("% ")) > at_bound:
        return Outcome("passed", f"the powers cannot be: {powers}")
    return Outcome("shown", ", ".join(f"{head} {cell}" for head, cell in powers.items()))
