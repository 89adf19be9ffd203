"""transformers' config of a GGUF file, from its header alone: a tenth of a second.

transformers maps metadata to its configs, a family at a time, but parses the whole vocabulary on
the way, which takes up to ten seconds. It is given a file of the same metadata, its tensors named
and its vocabulary left out.
"""

import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoConfig
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from kvdistill.errors import ConfigError
from kvdistill.plan.model_files.gguf_header import MAGIC, TEXT, VERSIONS, GgufHeader, read_header

NAME = "header.gguf"
UINT32, FLOAT32 = 4, 0
"""Types of the format: of a value, and of a tensor."""
EMPTY_ARRAY = struct.pack("<IQ", TEXT, 0)


def read_header_config(path: Path) -> Any:
    """The config that `AutoConfig` reads of the file.

    Raises:
        ConfigError: for an architecture that transformers reads no GGUF files of.
    """
    header = read_header(path)
    with TemporaryDirectory() as folder:
        (Path(folder) / NAME).write_bytes(copy_header(path, header))
        try:
            config = AutoConfig.from_pretrained(folder, gguf_file=NAME)
        except (ValueError, KeyError) as error:
            raise ConfigError(
                f"{path} is a GGUF file of a {header.architecture}, which transformers cannot read "
                f"({' '.join(str(error).split())[:200]}). Convert it to a Hugging Face folder."
            ) from error
    if not config.vocab_size:  # where transformers counts the tokens whatever is stated
        config.vocab_size = header.metadata["tokenizer.ggml.tokens"]
    config.name_or_path = str(path.parent)
    return config


def name_tokenizer_type(path: Path) -> dict[str, str]:
    """The argument of `AutoTokenizer` that saves it from parsing the whole file for its type.

    Empty for a family without a class of tokenizers of its own.
    """
    kind = read_header_config(path).model_type
    return {"tokenizer_type": kind} if kind in TOKENIZER_MAPPING_NAMES else {}


def copy_header(path: Path, header: GgufHeader) -> bytes:
    """A GGUF file of the same metadata and tensors; these, and what is only counted, are empty."""
    added = []
    vocabulary = header.metadata.get("tokenizer.ggml.tokens")
    if vocabulary and header.get_value("vocab_size") is None:  # the copy has none to be counted
        added.append(pack_number(f"{header.architecture}.vocab_size", vocabulary))
    count = len(header.metadata) + len(added)
    parts = [MAGIC, struct.pack("<IQQ", VERSIONS[-1], len(header.tensors), count), *added]
    with path.open("rb") as file:
        for key, (start, end) in header.entries.items():
            file.seek(start)
            parts.append(file.read(end - start))
            if key in header.counted:
                parts.append(EMPTY_ARRAY)
    for name in header.tensors:
        parts += [pack_text(name), struct.pack("<IQIQ", 1, 0, FLOAT32, 0)]
    return b"".join(parts)


def pack_text(text: str) -> bytes:
    """A text behind its length."""
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def pack_number(key: str, value: int) -> bytes:
    """An entry of the metadata."""
    return pack_text(key) + struct.pack("<II", UINT32, value)
