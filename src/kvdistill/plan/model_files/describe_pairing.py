"""What a command says of an adopted model: its sizes, and how a teacher pairs with a student."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.console import format_count
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.kv_modules import name_kv_modules
from kvdistill.layers.from_config import pair_teacher_layers
from kvdistill.plan.model_files.locate_model import LocatedModel


def describe_geometry(model: LocatedModel, geometry: Mapping[str, Any]) -> str:
    """The model's sizes, and where its keys and values leave it."""
    shape, modules = Geometry(**geometry), name_kv_modules(model.settings)
    matrix = "one matrix embeds and predicts" if shape.tied_embeddings else "own output matrix"
    places = f" ({', '.join(modules.names)})" if modules.names else ""
    return (
        f"{model.settings.get('model_type', 'model')}: {shape.layers} layers, {shape.hidden_size} "
        f"wide, {shape.heads} heads, {format_count(shape.kv_heads, 'KV head')} of "
        f"{shape.head_dim}, "
        f"{shape.vocab_size:,} tokens, {matrix}; keys and values: {modules.kind}{places}"
    )


def describe_pair(
    config: Config, teacher: Mapping[str, Any], tokens: Mapping[str, Any]
) -> Iterator[str]:
    """Lines on one teacher of a config and its student; `tokens` are what was measured of both."""
    yield f"{teacher['name']} teaches {config['student']['name']}:"
    yield f"  layers: {describe_layers(config, teacher)}"
    yield f"  heads: {describe_heads(config['student'], teacher)}"
    yield f"  tokens: {describe_tokens(tokens, config['choices']['alignment'])}"


def describe_layers(config: Config, teacher: Mapping[str, Any]) -> str:
    """Which teacher layers are read, by the command's layer map."""
    try:
        pairs = pair_teacher_layers(config, teacher)
    except ConfigError as error:
        return f"refused: {error}"
    read = sorted({layer for pair in pairs for layer in pair.teacher_layers})
    return (
        f"{len(pairs)} of the student's {config['student']['geometry']['layers']} read {len(read)} "
        f"of the teacher's {teacher['geometry']['layers']} (layers/map="
        f"{config['choices'].get('layers/map')}): {describe_ranges(read)}"
    )


def describe_ranges(numbers: Sequence[int]) -> str:
    """Rising numbers, those that follow each other as one: 0-3, 5, 7-9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def describe_heads(student: Mapping[str, Any], teacher: Mapping[str, Any]) -> str:
    """Whether keys of the one are as wide as those of the other."""
    own, other = Geometry.from_node(student), Geometry.from_node(teacher)
    sizes = [f"{shape.kv_heads} of {shape.head_dim}" for shape in (own, other)]
    if sizes[0] == sizes[1]:
        return f"{sizes[0]} in both; a projection may leave them as they are"
    return f"{sizes[0]} and {sizes[1]}: a projection must change the width (projection=ridge does)"


def describe_tokens(tokens: Mapping[str, Any], alignment: str) -> str:
    """How the two divide the same text."""
    if "fault" in tokens:
        return f"not compared: {tokens['fault']}"
    rates = tokens["rates"]
    kind = "the same tokenizer" if tokens["same"] else "two tokenizers"
    return (
        f"{kind}; on a sample text they share {tokens['shared_bytes']:.1%} of its bytes, "
        f"{tokens['common_ends']:.1%} of the student's token ends are the teacher's too, "
        f"{tokens['teacher_tokens']:.2f} teacher tokens a student token; alignment={alignment} "
        f"covers {rates['coverage']:.1%} of the student's tokens and lets {rates['leak']:.1%} read "
        f"ahead ({rates['digit_coverage']:.1%} and {rates['digit_leak']:.1%} of those with digits)"
    )
