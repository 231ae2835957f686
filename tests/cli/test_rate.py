"""``--find-learning-rate`` as a person types it."""

from pathlib import Path

from tests.cli.conftest import Run


def test_the_curve_is_printed_with_what_to_type_next(forked: Run, tmp_path: Path) -> None:
    shape = ("--hidden-size", "32", "--num-hidden-layers", "1", "--num-attention-heads", "2")
    told = forked(
        *("pretrain", "--data", "builtin:stories:60", "--block-size", "64", "--vocab-size", "400", *shape),
        *("--per-device-train-batch-size", "4", "--find-learning-rate"),
        OMP_NUM_THREADS="1",
    )
    assert told.returncode == 0, told.stderr
    curve, mark, ends, rule, files = told.stdout.splitlines()
    drawn = curve.split()[1]
    assert drawn[0] in "▅▆▇█"
    assert "▁" in drawn
    rate = mark.split()[-1]
    assert ends.startswith("learning rate  1e-06")
    assert rule.startswith(f"with muon: {rate}, where the loss has come down by 75% of all")
    assert f"--learning-rate {rate}" in told.stderr
    for file in files.removeprefix("curve: ").split(", "):
        assert (tmp_path / file).is_file()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["learning-rates"]
