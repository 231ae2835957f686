"""What is read off a test of learning rates."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from llmctl.training import RateCurve
from llmctl.workflows.rate_picture import picture

RATES = [10.0 ** (-6 + 7 * i / 99) for i in range(100)]


def loss_at(rate: float) -> float:
    """6 at small rates, 4 from 1e-2 on, diverging beyond 0.1; at 3e-3 half of the fall is done."""
    return 6 - 2 / (1 + (3e-3 / rate) ** 3) + (rate / 0.3) ** 2


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(5))
def test_the_suggestion_is_on_the_slope(noise: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    curve = RateCurve(RATES, [loss_at(rate) + noise * draw.standard_normal() for rate in RATES])
    assert curve.suggestion
    assert 2.5e-3 < curve.suggestion < 8e-3
    assert len(curve.smooth) == 100


@pytest.mark.parametrize("seed", range(20))
def test_noise_suggests_nothing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    losses = [0.7 + 0.1 * draw.standard_normal() + max(0.0, rate - 0.1) for rate in RATES]
    assert RateCurve(RATES, losses).suggestion is None


def test_a_test_that_was_over_at_once_suggests_nothing() -> None:
    assert RateCurve(RATES[:5], [6.0, 5.0, 4.0, 3.0, 2.0]).suggestion is None


def test_the_picture_marks_the_suggestion() -> None:
    losses = [loss_at(rate) for rate in RATES]
    root = ElementTree.fromstring(picture(RATES, losses, 4e-3))
    space = "{http://www.w3.org/2000/svg}"
    points = [
        tuple(map(float, pair.split(","))) for pair in root.find(f"{space}polyline").get("points").split()
    ]
    assert len(points) == 100
    assert points == sorted(points), "rates rise from left to right"
    assert all(50 <= y <= 310 for _, y in points), "what diverges is cut off"
    mark = float(root.find(f"{space}line").get("x1"))
    share = (math.log10(4e-3) + 6) / 7
    assert mark == pytest.approx(50 + share * 540, abs=0.1)
    texts = [text.text for text in root.iter(f"{space}text")]
    assert {"1e-6", "1e1", "0.004", "loss", "learning rate"} <= set(texts)
    assert ElementTree.fromstring(picture(RATES, losses, None)).find(f"{space}line") is None
