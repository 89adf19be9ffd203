"""One run of the bench: its machine, its texts, and its cases in turn, a line of JSON each."""

# ruff: noqa: T201 - a bench speaks on the terminal
import gc
import importlib.util
import json
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

# What each case would import anew; DeepSpeed is what transformers' trainer does.
import deepspeed  # noqa: F401
import torch
import transformers.models.llama.modeling_llama
import transformers.models.qwen2.modeling_qwen2  # noqa: F401
from hydra import initialize_config_dir

import kvdistill.jobs.__main__  # noqa: F401
from kvdistill import distributed
from kvdistill.config.hydra_internals import enable_file_cache
from kvdistill.plan.resources.device_peaks import find_peak_tflops
from tests.bench.gpu import correctness, ours, peers, workload
from tests.bench.gpu.cases import CASES, COMPILED, Case
from tests.bench.gpu.goals import GOALS, judge_goals, summarize_goals
from tests.bench.gpu.isolate import Measure, run_forked

PACKAGES = ("torch", "transformers", "accelerate", "trl", "flash-attn", "liger-kernel", "triton")
LEAST_S = 3.0
"""Left of the whole time, below which no case is begun."""


class Session:
    """Measures one case after the other, each in a process of its own, until time is up."""

    def __init__(self, path: Path, *, tiny: bool, minutes: float) -> None:
        """Raw lines are appended to `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.log = path, path.with_suffix(".log")
        self.size = workload.TINY if tiny else workload.TRUE
        self.end = time.monotonic() + 60 * minutes
        self.records: dict[str, dict[str, Any]] = {}

    @property
    def seconds_left(self) -> float:
        """Of the whole time."""
        return self.end - time.monotonic()

    def measure_cases(self, names: Sequence[str], case_seconds: float) -> int:
        """Prints a line a case, the goals, and one JSON object; returns the exit code."""
        gc.collect()
        gc.freeze()  # what is imported is garbage in no case, and none needs to look at it
        with initialize_config_dir(str(workload.CONF), version_base="1.3"):
            enable_file_cache()  # each YAML is parsed once, not once a case
            return self._measure_cases(names, case_seconds)

    def _measure_cases(self, names: Sequence[str], case_seconds: float) -> int:
        workload.compose_overrides(())
        machine = run_forked(partial(describe_machine, self.size), self.log, 60.0)
        self.note_record("machine", machine | {"begun": time.strftime("%Y-%m-%d %H:%M:%S")})
        if machine["status"] != "measured":
            return 2
        root = Path(tempfile.mkdtemp(prefix="bench-gpu-"))
        try:
            laid_out = run_forked(partial(lay_out, root, self.size), self.log, self.seconds_left)
            self.note_record("texts", laid_out)
            if laid_out["status"] == "measured":
                for name in names:
                    self.measure_case(name, root, case_seconds)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        return self.print_goals()

    def measure_case(self, name: str, root: Path, case_seconds: float) -> None:
        """Measures a case, or notes by name why it is left out."""
        case, began = CASES[name], time.monotonic()
        missing = [p for p in case.packages if importlib.util.find_spec(p) is None]
        if missing:
            result = {"status": "not installed", "why": ", ".join(missing)}
        elif unknown := workload.list_unknown(case.settings):
            result = {"status": "not available", "why": ", ".join(unknown)}
        elif self.size.tiny and set(COMPILED) <= set(case.settings):
            result = {"status": "left out", "why": "compiling takes longer than all of a tiny run"}
        elif self.seconds_left < LEAST_S:
            result = {"status": "out of time", "why": "no time was left of --minutes"}
        else:
            limit = min(case_seconds, self.seconds_left)
            with suppress(Exception):  # composed here the forked process has it; it fails there
                workload.compose_case(root, self.size, case.texts, case.all_overrides)
            result = run_forked(choose_measure(name, root, self.size), self.log, limit)
        # What the case is stands in its line: raw lines are read where the code may be another.
        facts = {"part": case.part, "overrides": case.all_overrides}
        facts |= {"texts": case.texts, "case_s": round(time.monotonic() - began, 1)}
        self.note_record(name, facts | result)

    def note_record(self, name: str, record: Mapping[str, Any]) -> None:
        """Appends a line, and prints it in short."""
        self.records[name] = {"case": name, **record}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.records[name]) + "\n")
        print(f"{name:20} {summarize_record(record)}", flush=True)

    def print_goals(self) -> int:
        """The goals with their figures, and all of it as one JSON object."""
        for name, (figure, met) in judge_goals(self.records).items():
            verdict = {True: "pass", False: "FALLS SHORT", None: "not measured"}[met]
            value = "" if figure is None else f"{figure:.3g}"
            print(f"{verdict:13} {value:>9}  {GOALS[name].title}")
        summary = summarize_goals(self.records)
        print(json.dumps(summary))
        return 0 if summary["ok"] else 1


def lay_out(root: Path, size: workload.Size) -> dict[str, Any]:
    """Texts, tokenizers and splits; how long that took."""
    began = time.perf_counter()
    workload.lay_out(root, size)
    return {"lay_out_s": time.perf_counter() - began}


def choose_measure(name: str, root: Path, size: workload.Size) -> Measure:
    """What measures a case."""
    case: Case = CASES[name]
    if case.part == "correctness":
        return partial(correctness.measure_correctness, root, size, case)
    if case.peer:
        return partial(peers.measure_peer, root, size, case)
    return partial(ours.measure_training, root, size, case)


def describe_machine(size: workload.Size) -> dict[str, Any]:
    """Card, driver, versions, and the peak that the platform knows of such a card."""
    cuda, peak = torch.cuda.is_available(), find_peak_tflops(distributed.describe_device())
    installed = {each.name: each.version for each in distributions()}
    versions = {"python": platform.python_version()}
    versions |= {name: installed[name] for name in PACKAGES if name in installed}
    return {
        "device": "cuda" if cuda else "cpu",
        "tiny": size.tiny,
        "card": distributed.describe_device(),
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory if cuda else None,
        "driver": read_driver() if cuda else "none",
        "cuda": torch.version.cuda,
        "versions": versions,
        "peak_flops": peak * 1e12 if peak else None,
    }


def read_driver() -> str:
    """The driver's version, as nvidia-smi has it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0] if done.stdout else "unknown"


def summarize_record(record: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    if record["status"] != "measured":
        return f"{record['status']}: {record.get('why', '')}"
    if "step_s" in record:
        return f"{record['step_s']:.4f} s a step"
    return ", ".join(str(record[k]) for k in ("card", "driver") if k in record) or "measured"
