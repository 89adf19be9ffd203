"""Checks a split again, as it lies on disk.

`python -m kvdistill.evaluate.recheck`: the check's recipe and the split's folder on stdin, the
report on stdout; exit code 1 and one line on stderr for a leak or data that is no split.
"""

import json
import sys
from pathlib import Path

from kvdistill.data.build import LeakError
from kvdistill.errors import UserError
from kvdistill.evaluate.leak_check import validate


def main() -> int:
    """Writes no file."""
    asked = json.load(sys.stdin)
    try:
        report = validate(asked["recipe"], Path(asked["split"]))
    except UserError as error:
        if isinstance(error, LeakError):
            json.dump(error.report, sys.stdout)
        sys.stderr.write(f"{error}\n")
        return 1
    json.dump(report, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
