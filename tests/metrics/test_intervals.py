import math

import numpy as np
import pytest

from llmctl.metrics import intervals
from llmctl.metrics.intervals import Interval, bootstrap_sums, percentile_bounds, tell_few
from tests.data.conftest import Told


def test_every_resample_draws_as_many_units_as_there_are() -> None:
    values = np.stack([np.arange(7), np.ones(7)], axis=1)
    sums = bootstrap_sums(values, num_resamples=50, seed=0)
    assert sums.shape == (50, 2)
    assert (sums[:, 1] == 7).all()
    assert len(set(sums[:, 0])) > 10
    assert (sums[:, 0] <= 42).all()


def test_columns_share_their_resampling() -> None:
    units = np.random.default_rng(1).random(20)
    sums = bootstrap_sums(np.stack([units, 3 * units], axis=1), num_resamples=20, seed=0)
    assert sums[:, 1] == pytest.approx(3 * sums[:, 0])


def test_the_seed_decides_and_the_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((10, 1))
    whole = bootstrap_sums(values, num_resamples=30, seed=4)
    assert not np.array_equal(whole, bootstrap_sums(values, num_resamples=30, seed=5))
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 70)
    assert bootstrap_sums(values, num_resamples=30, seed=4) == pytest.approx(whole, rel=1e-12)


def test_bounds_of_a_mean_agree_with_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(10, 2, 400)
    low, high = percentile_bounds(bootstrap_sums(values[:, None], num_resamples=4000, seed=0)[:, 0] / 400)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_percentile_bounds_of_known_samples() -> None:
    assert percentile_bounds(np.arange(201)) == pytest.approx((5, 195))


def test_json_holds_no_infinity() -> None:
    assert Interval(math.inf, 1.5, None).to_json() == {"value": None, "low": 1.5, "high": None}


@pytest.mark.parametrize(("units", "few"), [(1, False), (2, True), (29, True), (30, False)])
def test_intervals_of_few_units_are_told(units: int, few: bool) -> None:
    told = Told()
    tell_few(units, "windows", told)
    assert bool(told.notes) is few
