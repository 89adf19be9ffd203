"""What is measured, in the order of its worth: each case is settings of the platform, or a peer."""

from collections.abc import Sequence
from dataclasses import dataclass

SFT = ("arm=sft",)
ONE = ("arm=single_teacher",)
BIG = ("arm=single_teacher", "teacher@teachers.a=paper/medium")
TWO = ("arm=multi_teacher", "teachers=cross_family")
STORE = ("source=store", "style@source.stored.style=cot")
PACKED = ("train.packing=true",)
COMPILED = ("train.torch_compile=true",)
FLASH = ("train.attn_implementation=flash_attention_2",)
FLASH_3 = ("train.attn_implementation=flash_attention_3",)
CHUNKED = ("train.linear_ce=chunked",)
LIGER = ("train.linear_ce=liger",)
TF32 = ("train.tf32=true",)
PADDED = ("train.packing=false",)
UNGROUPED = (*PADDED, "train.group_by_length=false")
KEPT = ("train.gradient_checkpointing=false",)
ALL_ON = (*PACKED, *COMPILED, *KEPT)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to measure, in a process of its own."""

    part: str
    overrides: Sequence[str] = SFT
    """Of the paper's config."""
    settings: Sequence[str] = ()
    """More of them, of options that a version of the platform may not have yet."""
    texts: str = "full"
    beside: str | None = None
    """The case that it is compared with: fine-tuning alone, set alike."""
    packages: Sequence[str] = ()
    """Without which it cannot be measured."""
    peer: str | None = None
    """Who trains it instead of the platform: trl or transformers."""
    headline: bool = False
    """Whether goals are judged on it: the study as it is, of online teachers."""

    @property
    def all_overrides(self) -> list[str]:
        """Of the paper's config, as the platform is asked for them."""
        return [*self.overrides, *self.settings]


CASES: dict[str, Case] = {
    "correctness": Case(part="correctness", overrides=TWO),
    "sft": Case(part="steps", headline=True),
    "kv_7b": Case(part="steps", overrides=ONE, beside="sft", headline=True),
    "kv_7b_8b": Case(part="steps", overrides=TWO, beside="sft", headline=True),
    "kv_14b": Case(part="steps", overrides=BIG, beside="sft", headline=True),
    "sft_mixed": Case(part="peers", texts="mixed"),
    "trl_sft_mixed": Case(part="peers", peer="trl", texts="mixed", packages=("trl", "datasets")),
    "trainer_mixed": Case(part="peers", peer="transformers", texts="mixed", packages=("datasets",)),
    "kv_7b_stored": Case(part="store", overrides=(*ONE, *STORE), beside="sft"),
    "kv_7b_8b_stored": Case(part="store", overrides=(*TWO, *STORE), beside="sft"),
    "kv_7b_8b_learnable": Case(part="rooms", overrides=(*TWO, "fusion=learnable"), beside="sft"),
    "kv_7b_r_kv": Case(part="rooms", overrides=(*ONE, "compression=r_kv"), beside="sft"),
    "sft_packed": Case(part="options", texts="mixed", settings=PACKED),
    "kv_7b_packed": Case(
        part="options", texts="mixed", overrides=ONE, settings=PACKED, beside="sft_packed"
    ),
    "sft_compiled": Case(part="options", settings=COMPILED),
    "kv_7b_compiled": Case(part="options", overrides=ONE, settings=COMPILED, beside="sft_compiled"),
    "sft_flash_2": Case(part="options", settings=FLASH, packages=("flash_attn",)),
    "sft_flash_3": Case(part="options", settings=FLASH_3, packages=("flash_attn_interface",)),
    "sft_chunked": Case(part="options", settings=CHUNKED),
    "sft_liger": Case(part="options", settings=LIGER, packages=("liger_kernel",)),
    "kv_7b_tf32": Case(part="options", overrides=ONE, settings=TF32, beside="sft"),
    "sft_padded": Case(part="options", texts="mixed", settings=PADDED),
    "sft_ungrouped": Case(part="options", texts="mixed", settings=UNGROUPED),
    "sft_kept": Case(part="options", settings=KEPT),
    "kv_7b_kept": Case(part="options", overrides=ONE, settings=KEPT, beside="sft_kept"),
    "sft_all_on": Case(part="options", texts="mixed", settings=ALL_ON),
    "kv_7b_all_on": Case(
        part="options", texts="mixed", overrides=ONE, settings=ALL_ON, beside="sft_all_on"
    ),
    "trl_sft": Case(part="peers", peer="trl", packages=("trl", "datasets")),
    "trainer": Case(part="peers", peer="transformers", packages=("datasets",)),
}
"""By name, in the order of their worth: a run that is stopped has measured the first of them."""
PARTS = ("correctness", "steps", "peers", "store", "rooms", "options")
