"""A curve of losses over learning rates as a picture that every browser shows (SVG)."""

import math
from collections.abc import Sequence

_WIDTH, _HEIGHT, _MARGIN = 640, 360, 50
_MOST = 1.1  # times the first loss: what diverges beyond would flatten the rest


def picture(rates: Sequence[float], losses: Sequence[float], suggestion: float | None) -> str:
    """Draw ``losses`` (N,), cut off above, over ``rates`` (N,) on a scale of powers of ten; mark ``suggestion``."""
    left, right = math.log10(rates[0]), math.log10(rates[-1])
    low, high = min(losses), min(max(losses), _MOST * losses[0])

    def x(rate: float) -> float:
        share = (math.log10(rate) - left) / ((right - left) or 1.0)
        return round(_MARGIN + share * (_WIDTH - 2 * _MARGIN), 1)

    def y(loss: float) -> float:
        share = (min(loss, high) - low) / ((high - low) or 1.0)
        return round(_HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN), 1)

    bottom = _HEIGHT - _MARGIN
    points = " ".join(f"{x(rate)},{y(loss)}" for rate, loss in zip(rates, losses, strict=True))
    parts = [f'<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="2"/>']
    for power in range(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1):
        parts.append(_text(x(10.0**power), bottom + 20, f"1e{power}"))
    parts += [_text(_MARGIN - 25, y(loss) + 4, f"{loss:.3g}") for loss in (low, high)]
    parts.append(_text(_WIDTH / 2, _HEIGHT - 10, "learning rate"))
    parts.append(_text(_MARGIN - 25, 20, "loss"))
    if suggestion is not None:
        at = x(suggestion)
        parts.append(
            f'<line x1="{at}" y1="{_MARGIN}" x2="{at}" y2="{bottom}" stroke="#d62728" stroke-dasharray="4"/>'
        )
        parts.append(_text(at, _MARGIN - 8, f"{suggestion:g}"))
    lines = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{lines}\n</svg>\n'
    )


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="middle">{text}</text>'
