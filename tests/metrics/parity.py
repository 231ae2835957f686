"""What every metric must keep: its sums mean what its reference library says."""

import math
from typing import Any

import numpy as np
import pytest

from llmctl.metrics.measure import Measure, Settings
from llmctl.metrics.names import Family
from llmctl.metrics.scores import make_measure

NO_SETTINGS = Settings()


def agreed(
    name: str, family: Family, predictions: Any, references: Any, settings: Settings = NO_SETTINGS
) -> dict[str, float]:
    """The metric's scores by its reference, after a check that its sums give the same to 1e-12."""
    measure: Measure = make_measure(name, family, settings)
    by_reference = measure.reference(predictions, references)
    statistics = measure.statistics(predictions, references)
    assert len(statistics) == len(references)
    by_sums = measure.resampled(statistics, np.ones((1, len(references))))
    for score, value in by_reference.items():
        assert by_sums[score].shape == (1,)
        found = float(by_sums[score][0])
        if math.isnan(value):
            assert math.isnan(found), score
        else:
            assert found == pytest.approx(value, rel=1e-12, abs=1e-12), (score, predictions, references)
    return by_reference
