"""What is lost of texts longer than a run reads: their ends, or their answers as a whole."""

from dataclasses import dataclass

from kvdistill.errors import ConfigError


@dataclass(frozen=True)
class Truncation:
    """How many texts are cut at `budget.seq_len`, and of how many no answer token is left."""

    texts: int
    truncated: int
    unanswered: int

    def describe(self, part: str, seq_len: int) -> str:
        """One sentence, for the plan and for errors."""
        return (
            f"budget.seq_len={seq_len} cuts {self.truncated} of {self.texts} texts of {part} "
            f"({self.truncated / self.texts:.1%}) and leaves {self.unanswered} "
            f"({self.unanswered / self.texts:.1%}) without one answer token"
        )

    def check_unanswered(self, part: str, seq_len: int, largest_share: float) -> None:
        """Raises ConfigError where more texts than the stated share have no answer token left."""
        if self.unanswered > largest_share * self.texts:
            raise ConfigError(
                f"{self.describe(part, seq_len)}, above budget.max_unanswered={largest_share:g}: "
                "from those a student learns nothing, and a measure of it says nothing. Raise "
                "budget.seq_len, shorten the texts, or state a larger share."
            )
