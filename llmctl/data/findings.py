"""What is met in the rows of a split: counted, each with the place where it was first met."""

from dataclasses import dataclass, field

from llmctl.progress import many


@dataclass
class Tally:
    """How often things were met, and where first."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, place: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.first.setdefault(what, place)

    def told(self, start: str, noun: str) -> list[str]:
        """A line for each: how many, what, and the first."""
        return [
            f"{start} {many(count, noun)}: {what} (first: {self.first[what]})"
            for what, count in self.counts.items()
        ]


@dataclass
class Findings:
    """What was met in the rows of a split.

    Attributes:
        left_out: why examples were.
        mended: what was mended in examples that stay.
        unlabelled: examples without a label.
        placeholders: labels that may stand for a hidden one; they do when there is no other.
        label_type: of the first label; the others must have it too.
    """

    left_out: Tally = field(default_factory=Tally)
    mended: Tally = field(default_factory=Tally)
    unlabelled: Tally = field(default_factory=Tally)
    placeholders: int = 0
    label_type: type | None = None
