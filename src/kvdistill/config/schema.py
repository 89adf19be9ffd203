"""The plain groups: names and types. Strategies state their own fields in their constructors.

A composed config is merged into these dataclasses, so that a wrong type is refused by name
before anything is computed. What a value must hold beyond its type stands in check_values.py.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kvdistill.config import types
from kvdistill.config.structured import to_dataclass
from kvdistill.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much is trained; `plan/budget.py` turns it into steps."""

    total_tokens: int
    batch_size: int
    """Texts a GPU and micro-batch."""
    seq_len: int
    num_gpus: int
    grad_accum: int
    max_unanswered: float = 0.05
    """Largest share of texts that may be cut before their answer begins."""
    match: dict[str, Any] | None = None
    """{flops_of: ARM}: as many tokens as take what training that arm of the sweep takes.

    The plan puts the tokens into `total_tokens` and null here, so that no job meets it.
    """


@dataclass(frozen=True, kw_only=True)
class Train:
    """Optimiser and schedule, named as in transformers' TrainingArguments."""

    lr: float
    weight_decay: float
    warmup_ratio: float
    lr_scheduler_type: str
    max_grad_norm: float
    bf16: bool
    gradient_checkpointing: bool
    group_by_length: bool
    """Texts of like length share a batch: less padding, the same order for all arms."""
    packing: bool
    """Texts of a micro-batch share rows, each seeing itself alone; execution, never identity."""
    attn_implementation: str | None
    """Of student and teachers, as transformers names it; None: what each model has by itself."""
    torch_compile: bool
    """Compiles the student's layers."""
    linear_ce: str
    """none, chunked or liger: how cross-entropy is computed without all logits at once."""
    tf32: bool
    """Rounds the factors of float32 products on a GPU to 10 bits."""
    deterministic: bool
    """Kernels whose bits repeat, at the price of speed; execution, never identity."""
    calibration_rows: int
    logging_steps: int
    eval_steps: int
    save_steps: int
    norm_steps: int
    """Between measurements of each term's gradient; 0 for none."""
    eval_texts: int
    eval_tasks: int
    """Validations between task metrics; 0 for none."""
    eval_items: int
    keep_model: bool
    """Whether a run's student stays once it is scored; execution, never identity."""
    report_to: str
    """One of transformers' trackers, or none."""
    deepspeed: dict[str, Any] | None
    """How the student is divided among the ranks; execution, never identity."""
    peak_tflops: float | None
    """Of one device, which MFU divides by; None: the published one of its name."""


@dataclass(frozen=True, kw_only=True)
class KVWeights:
    """What of a cache is matched."""

    keys: float
    values: float


@dataclass(frozen=True, kw_only=True)
class OnPolicy:
    """When teachers are compared with on answers that the student writes itself."""

    every: int
    """Steps from one with such texts to the next; 0: none."""
    texts: int | None
    """Of a micro-batch whose answers are written; None: all."""
    max_new_tokens: int | None
    """None: what budget.seq_len leaves of the prompt."""
    temperature: float
    """0: the likeliest token."""


@dataclass(frozen=True, kw_only=True)
class StatusSettings:
    """How stage=status shows a study."""

    watch: bool
    format: str
    every_s: float


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of processor."""

    peak_tflops: float
    memory_gib: float | None
    """None: the machine's own."""
    memory_gb_s: float
    """1e9 bytes a second."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Stated, not measured: printed beside every figure that rests on it."""

    peak_tflops: dict[str, float]
    """By kind of processor."""
    memory_gib: dict[str, float | None]
    memory_gb_s: dict[str, float]
    """1e9 bytes a second that a kind of processor reads of its memory."""
    reserve_gib: float
    """Of it: what CUDA, NCCL and cuBLAS take, and what the allocator cannot use."""
    kind: str
    utilisation: float
    tokens_per_item: int
    """Of a prompt, with its worked examples."""
    answer_tokens: int
    """That an answer has in the mean."""
    decode_layer_ms: dict[str, float]
    """By backend of evaluation: what a layer takes at least, in a step that writes a token."""
    answer_share: float
    """Of a micro-batch's tokens: those whose logits are computed, where prompts are masked."""
    overhead_s: float
    disk_gb_s: float
    """1e9 bytes a second that a node reads where the root lies."""
    seed_sd: float
    """Points: the spread of one arm's macro average over seeds."""
    disagreement: float
    """Share of items that two arms answer differently."""
    items: dict[str, int]
    effect: float
    """Points of a true difference, where a claim states no `expected`."""
    effect_percent: float
    """Percent of one, where the measure is in percent."""
    loss_sd: float
    """Percent: spread of one arm's validation loss over seeds."""
    text_sd: float
    """Percent: spread over validation rows of what each says of two arms' ratio of losses."""
    time_sd: float
    """Percent: spread of one arm's times over seeds."""

    @property
    def gpus(self) -> dict[str, Gpu]:
        """Every kind."""
        return {
            kind: Gpu(
                peak_tflops=peak,
                memory_gib=self.memory_gib.get(kind),
                memory_gb_s=self.memory_gb_s[kind],
            )
            for kind, peak in self.peak_tflops.items()
        }

    @property
    def gpu(self) -> Gpu:
        """The kind that wall time and memory are told for."""
        return self.gpus[self.kind]

    @property
    def usable_bytes(self) -> int | None:
        """Of one such GPU, for weights and tensors; None for a CPU."""
        memory_gib = self.gpu.memory_gib
        return None if memory_gib is None else round((memory_gib - self.reserve_gib) * 2**30)


# Not frozen: OmegaConf makes a frozen dataclass within another read-only before it is filled.
@dataclass(kw_only=True)
class EvaluationJob:
    """What scores a run once it is trained; execution, never identity."""

    job: str = "auto"
    """own: a job after the training; inline: the one that trained; auto: own on SLURM and wherever
    several processes train or score, else inline."""
    ranks: int = 1
    """Processes among which the items are divided, each with a GPU of its own."""


@dataclass(frozen=True, kw_only=True)
class LocalCluster:
    """Processes on this machine."""

    name: str
    max_parallel: int | None
    threads: int | None
    evaluation: EvaluationJob = field(default_factory=EvaluationJob)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one job asks of SLURM; null leaves it to the cluster's own default."""

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    time_min: int
    nodes: int
    cpus: int | None
    """A task; null: what runs in it, as plan/resources/task_needs.py counts."""
    mem_gb: float | None
    """A node; null: what a job with a GPU loads there, and the cluster's default for others."""
    gpus: int | None
    """A task; null: 1 where a job computes with models that are placed on GPUs, else 0."""
    sbatch: list[str]
    """Further options of sbatch, as its command line takes them: --NAME=VALUE or --NAME."""
    setup: list[str]
    """Shell lines run before the job, as the user writes them."""


@dataclass(frozen=True, kw_only=True)
class Slurm(Resources):
    """Jobs of a SLURM cluster; one task a GPU."""

    name: str
    threads: int | None
    """Of a task; null: its cpus."""
    resources: dict[str, Any]
    """Kind of job (split, validation, model, conversion, answers, calibration, kv, run, evaluation,
    report) -> what differs; `run` is the one that trains."""
    container: list[str]
    """A command that runs the job's Python inside a container, word by word."""
    python: str | None
    """Path of the jobs' Python; null: the one that submits."""
    array_throttle: int
    max_array: int
    wait: bool
    dry_run: bool
    signal_s: int
    max_timeouts: int
    max_retries: int
    offline: bool
    evaluation: EvaluationJob = field(default_factory=EvaluationJob)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The `placement` of a student's or teacher's YAML."""

    device: str = "auto"
    """auto (this rank's GPU if there is one), cpu or cuda."""
    shard: str = "none"
    """auto: none where a job then fits its GPUs, else zero3; the plan decides and freezes it.

    none: whole; zero3 divides the weights among the ranks, zero3_offload those in the CPU's memory.
    """


@dataclass(frozen=True, kw_only=True)
class SmokeSettings:
    """What stage=smoke does of each arm, and what it lets pass."""

    steps: int
    weights: str
    """random: drawn, and texts made up, so that nothing is downloaded; real: as the command says.
    """
    items: int
    """Of a task, to be scored."""
    memory_slack: float
    """Share by which a GPU's peak may exceed what the plan foretold."""
    resume_slack: float | None
    """Share by which losses after a resume may differ from those of the run that was not killed;
    None: not at all on a CPU, one hundredth on a GPU, whose sums have no fixed order."""


PLAIN: dict[str, type] = {
    "budget": Budget,
    "train": Train,
    "kv": KVWeights,
    "on_policy": OnPolicy,
    "estimate": Estimate,
    "status": StatusSettings,
    "smoke": SmokeSettings,
}
CLUSTERS: dict[str, type] = {"local": LocalCluster, "slurm": Slurm}
"""By `cluster.name`: a site's own YAML builds on one of them."""
NUMBERS = {
    "loss": ("ce_weight", "kv_weight", "entropy_weight"), "logits": ("weight", "temperature"),
}  # fmt: skip
"""Plain numbers of groups whose distance is a strategy."""


def read_group(group: str, node: Mapping[str, Any]) -> Any:
    """The node of a plain group as its dataclass. Raises ConfigError naming the key."""
    kind = cluster_type(node) if group == "cluster" else PLAIN[group]
    return to_dataclass(kind, node, group)


def cluster_type(node: Mapping[str, Any]) -> type:
    """The type of a cluster node. Raises ConfigError for an unknown name."""
    name = node.get("name")
    if not isinstance(name, str) or name not in CLUSTERS:
        raise ConfigError(
            f"cluster.name={types.shorten(str(name))} is no cluster. Choose one of "
            f"{', '.join(CLUSTERS)}."
        )
    return CLUSTERS[name]


def normalise_groups(config: dict[str, Any]) -> None:
    """Gives the plain groups their types in place: 1 and 1.0 are one weight, so one run.

    Raises ConfigError for wrong types.
    """
    for group in (*PLAIN, "cluster"):
        config[group] = asdict(read_group(group, config[group]))
    for group, keys in NUMBERS.items():
        node = config[group]
        for key in keys:
            if isinstance(node[key], int) and not isinstance(node[key], bool):
                node[key] = float(node[key])


def lookup_path(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path. Raises KeyError."""
    for key in path.split("."):
        config = config[key]
    return config
