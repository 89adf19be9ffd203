"""Models of true shape whose weights are drawn at random, where the platform would load some.

Nothing is downloaded. They are drawn where they compute, so that 14 billion weights take a second
on a GPU; or in float32 on the CPU, where two devices must hold the same ones.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
)

from kvdistill import distributed
from kvdistill.geometry import Geometry
from kvdistill.models import load
from kvdistill.models.geometry import keep_config_layers
from kvdistill.train.objective import TeacherBranch

KEY_BIAS = 10.0
"""Deviation of the biases of layer 0's keys, which Qwen has hundreds of times its keys' spread."""
POSITIONS = 32768


@dataclass(frozen=True)
class DrawnWeights:
    """Stands where `kvdistill.models.pretrained.Pretrained` does."""

    geometry: Geometry
    family: str
    """qwen2 or llama: which architecture it is, and which of the bench's tokenizers it reads by."""
    tokenizers: Path
    on_cpu: bool
    """Whether weights are drawn on the CPU, in float32 whatever they become."""

    def load_config(self) -> Any:
        """Its transformers config."""
        shape = self.geometry
        make_config = {"qwen2": Qwen2Config, "llama": LlamaConfig}[self.family]
        return make_config(
            vocab_size=shape.vocab_size, hidden_size=shape.hidden_size,
            intermediate_size=shape.intermediate_size, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_dim, tie_word_embeddings=shape.tied_embeddings,
            max_position_embeddings=POSITIONS, bos_token_id=None, eos_token_id=None,
            pad_token_id=None,
        )  # fmt: skip

    def load_model(self, dtype: torch.dtype, **more: Any) -> PreTrainedModel:
        """With its head; `more` is what transformers' from_config takes."""
        return self.draw_weights(AutoModelForCausalLM, self.load_config(), dtype, **more)

    def load_body(self, dtype: torch.dtype, layers: int, **more: Any) -> PreTrainedModel:
        """The first `layers` layers, without a head."""
        config = self.load_config()
        keep_config_layers(config, range(layers))
        body = self.draw_weights(AutoModel, config, dtype, **more)
        # As published: in bfloat16, whatever precision computes with them.
        for parameter in body.parameters():
            parameter.data = parameter.data.bfloat16().to(dtype)
        return body

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """Its family's, of few tokens: how wide a head is, its geometry says."""
        return AutoTokenizer.from_pretrained(self.tokenizers / self.family)

    def draw_weights(
        self, kind: Any, config: Any, dtype: torch.dtype, **more: Any
    ) -> PreTrainedModel:
        """The same weights for the same geometry."""
        device = torch.device("cpu") if self.on_cpu else distributed.get_local_device()
        devices = [] if device.type == "cpu" else [device]
        with torch.random.fork_rng(devices=devices), device:
            torch.manual_seed(self.geometry.layers * self.geometry.hidden_size)
            drawn = torch.float32 if self.on_cpu else dtype
            model: PreTrainedModel = kind.from_config(config, dtype=drawn, **more)
            for name, bias in model.named_parameters():
                if name.endswith("layers.0.self_attn.k_proj.bias"):
                    torch.nn.init.normal_(bias, std=KEY_BIAS)
        # Weights alone: `model.to` would round the rotary's frequencies, which loading does not.
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
        return model


@contextmanager
def use_drawn_weights(tokenizers: Path, *, on_cpu: bool = False) -> Iterator[None]:
    """While this is open every model is drawn; of a run all else is as it is."""

    def resolve_weights(node: Mapping[str, Any], *_: Any) -> DrawnWeights:
        family = "llama" if "llama" in node["name"] else "qwen2"
        return DrawnWeights(Geometry.from_node(node), family, tokenizers, on_cpu)

    with mock.patch.object(load, "resolve_weights", resolve_weights):
        yield


@contextmanager
def use_drawn_maps() -> Iterator[None]:
    """While this is open no calibration is read: maps and means are drawn too."""
    with (
        mock.patch("kvdistill.train.run.Calibration.load", return_value=None),
        mock.patch.object(TeacherBranch, "calibrate", draw_calibration),
    ):
        yield


def draw_calibration(branch: TeacherBranch, _: None) -> dict[str, float]:
    """Means, deviations and maps of a branch, drawn on the CPU: nothing is measured or fitted."""
    generator = torch.Generator().manual_seed(0)
    for name, buffer in branch.named_buffers():
        if "spread" in name:
            continue  # stays 1
        scale = buffer.shape[-2] ** -0.5 if buffer.ndim > 1 and "constants" not in name else 0.1
        buffer.copy_(scale * torch.randn(buffer.shape, generator=generator))
    return {"held_out_r2": 0.0, "shuffled_r2": 0.0}
