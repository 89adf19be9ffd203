"""Whether a run could read its models' K and V, asked of their configs before any weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kvdistill.errors import ConfigError
from kvdistill.kv_modules import name_kv_modules
from kvdistill.models.adapter import Adapter
from kvdistill.models.attention.small_copy import build_small_copy
from kvdistill.models.attention.sources import WAY_OUT
from kvdistill.models.attention.trace import TraceError
from kvdistill.models.capture import Capture

_answered: set[str] = set()
"""What was asked and not refused: the arms of a sweep ask the same."""


@dataclass(frozen=True)
class CaptureRequest:
    """What a run reads of one model."""

    role: str
    """Its config path: student, teachers.a."""
    layers: Sequence[int]
    needs_attention: bool = False
    """Whether compression reads queries and rotated keys."""
    needs_rotary: bool = False
    """Whether position turns keys."""


def check_capture(config: Any, request: CaptureRequest, adapter: Adapter | None = None) -> None:
    """Captures as a run would, from a small random copy of a transformers config's architecture.

    `adapter` is the student's. Raises ConfigError, which names the role, for what would be refused
    once the weights are loaded. An architecture of which no small copy can be made is left to that.
    """
    question = f"{type(config).__name__} {config.to_json_string()} {request} {adapter}"
    if question in _answered:
        return
    if getattr(config.get_text_config(), "num_attention_heads", None) is None:
        raise ConfigError(f"{request.role} is a {config.model_type} without attention. {WAY_OUT}")
    try:
        capture = _capture_copy(config, request, adapter)
        if request.needs_rotary:
            capture.read_rotaries()
        if adapter is not None:
            capture.check_trained()
    except TraceError:
        # No copy runs, but the config may say what its weights would.
        if refusal := name_kv_modules(config.get_text_config().to_dict()).refusal:
            raise ConfigError(f"{request.role} {refusal}. {WAY_OUT}") from None
    except ConfigError as error:
        raise ConfigError(f"{request.role}: {error}") from error
    _answered.add(question)


def _capture_copy(config: Any, request: CaptureRequest, adapter: Adapter | None) -> Capture:
    """The capture of a small copy, of the layers that are read and those below, or of all.

    Of all where no forward can be made without the upper ones, as where the first layers have no
    attention.
    """

    def capture_layers(count: int) -> Capture:
        model: Any = build_small_copy(config, count)
        wrapped = model if adapter is None else adapter.wrap(model)
        return Capture(wrapped, request.layers, with_attention=request.needs_attention)

    try:
        return capture_layers(max(request.layers) + 1)
    except TraceError:
        return capture_layers(config.get_text_config().num_hidden_layers)
