"""What turns predictions into scores, and scores into scores with an interval.

Which metrics there are stands in ``names``; one file a family of outputs computes them over the library that the
field takes for the reference: ``labels``, ``numbers``, ``tags``, ``answers``, ``texts``, ``likelihoods``.
``scores.compute`` adds the intervals, ``baseline.majority`` says what knowing nothing would score,
``modules.load`` gives a metric as an ``evaluate`` module.
"""

from typing import TYPE_CHECKING, Any

from llmctl.metrics.names import check_names, greater_is_better

if TYPE_CHECKING:
    from llmctl.metrics.baseline import majority
    from llmctl.metrics.scores import Scores, compute

__all__ = ["Scores", "check_names", "compute", "greater_is_better", "majority"]


def __getattr__(name: str) -> Any:
    """Import what needs numpy when it is asked for: a wrong name of a metric is answered without."""
    if name in ("Scores", "compute"):
        from llmctl.metrics import scores

        return getattr(scores, name)
    if name == "majority":
        from llmctl.metrics.baseline import majority

        return majority
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
