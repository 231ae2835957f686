"""What is read off a test of learning rates."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from llmctl.training import RateCurve
from llmctl.workflows.rate_picture import draw

RATES = [10.0 ** (-6 + 7 * i / 99) for i in range(100)]


def loss_at(rate: float) -> float:
    """6 at small rates, 4 from 1e-2 on, diverging beyond 0.1; at 3e-3 half of the fall is done."""
    return 6 - 2 / (1 + (3e-3 / rate) ** 3) + (rate / 0.3) ** 2


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(5))
def test_the_suggestion_is_on_the_slope(noise: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    curve = RateCurve(RATES, [loss_at(rate) + noise * random.standard_normal() for rate in RATES])
    assert curve.suggestion
    assert 2.5e-3 < curve.suggestion < 8e-3
    assert len(curve.smooth) == 100


@pytest.mark.parametrize("seed", range(20))
def test_noise_suggests_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    losses = [0.7 + 0.1 * random.standard_normal() + max(0.0, rate - 0.1) for rate in RATES]
    assert RateCurve(RATES, losses).suggestion is None


def test_a_test_that_was_over_at_once_suggests_nothing() -> None:
    assert RateCurve(RATES[:5], [6.0, 5.0, 4.0, 3.0, 2.0]).suggestion is None


def test_the_picture_marks_the_suggestion(tmp_path: Path) -> None:
    losses = [loss_at(rate) for rate in RATES]
    for name, suggestion in (("marked", 4e-3), ("plain", None)):
        draw(tmp_path / name, RATES, losses, suggestion)
    marked, plain = (imread(tmp_path / name, format="png")[..., :3] for name in ("marked", "plain"))
    assert marked.shape == (540, 960, 3)
    red = np.array([214, 39, 40]) / 255
    columns = np.isclose(marked, red, atol=0.05).all(axis=2).sum(axis=0)
    assert 0.4 < columns.argmax() / 960 < 0.65, "0.004 is half of the way from 1e-6 to 10"
    assert not np.isclose(plain, red, atol=0.05).all(axis=2).any()
