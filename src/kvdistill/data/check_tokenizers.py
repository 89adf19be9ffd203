"""Whether tokenizers can be aligned: `python -m kvdistill.data.check_tokenizers`, a child of the doctor.

Pretrained nodes by name on stdin; on stdout, by name, an empty string or why it cannot.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from kvdistill.config.build import build
from kvdistill.data.prompt_style import Text
from kvdistill.data.tokenise import Tokeniser

PROBE = "Two thirds of 1,234 is 822.67; \u4e09\u5206\u4e4b\u4e8c, caf\u00e9."


def main() -> int:
    """Reads a sentence with each."""
    json.dump({name: fault(name, node) for name, node in json.load(sys.stdin).items()}, sys.stdout)
    return 0


def fault(name: str, node: Mapping[str, Any]) -> str:
    """Why this tokenizer cannot be aligned; empty if it can."""
    text = Text(id="probe", task="probe", style="probe", prompt="", answer=PROBE)
    try:
        Tokeniser(build("pretrained", node).tokenizer(), name)([text])
    except Exception as error:  # noqa: BLE001 - whatever keeps it from pairing is told
        return " ".join(str(error).split()) or type(error).__name__
    return ""


if __name__ == "__main__":
    sys.exit(main())
