"""Line charts as inline SVG, drawn in the size of a phone's screen, so that text stays readable there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .markup import Markup, element

_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 34


def line_chart(
    curves: Mapping[str, Sequence[float | None]], *, first: int = 1, log: bool = False, label: str
) -> Markup:
    """Curves over steps.

    Args:
        curves: values by name, which is also the class that colours them; None is a gap, as is what a
            logarithmic axis has no place for.
        first: step of the first value.
        label: what is shown, for those who can't see it.
    """
    shown = {name: [_place(value, log) for value in values] for name, values in curves.items()}
    known = [y for values in shown.values() for y in values if y is not None]
    ticks = _ticks(min(known), max(known), log) if known else []
    low, high = (min([*known, *ticks]), max([*known, *ticks])) if known else (0.0, 1.0)
    count = max(map(len, shown.values()), default=1)

    def x(index: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (index / (count - 1) if count > 1 else 0.5)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * ((value - low) / ((high - low) or 1))

    parts: list[Markup] = []
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else 0
    for tick in ticks:
        text = _power(tick) if log else f"{tick:.{decimals}f}"
        parts.append(element("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y(tick), y2=y(tick)))
        parts.append(element("text", text, x=_LEFT - 6, y=y(tick) + 4, text_anchor="end"))
    for index in sorted({0, (count - 1) // 2, count - 1}):
        anchor = "middle" if 0 < index < count - 1 or count == 1 else "end" if index else "start"
        parts.append(
            element("text", str(first + index), x=x(index), y=_HEIGHT - _BOTTOM + 15, text_anchor=anchor)
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(element("text", "step", x=middle, y=_HEIGHT - 4, text_anchor="middle"))
    for number, (name, values) in enumerate(shown.items()):
        # Curves that should coincide are drawn thinner than those below them.
        width = 4.5 - 3 * number / max(1, len(shown) - 1) if len(shown) > 1 else 2.0
        for run in _runs(values):
            if len(run) == 1:
                ((index, value),) = run
                parts.append(
                    element("circle", class_=f"dot {name}", cx=x(index), cy=y(value), r=width / 2 + 1)
                )
            points = " ".join(f"{x(index):.1f},{y(value):.1f}" for index, value in run)
            parts.append(element("polyline", class_=f"curve {name}", stroke_width=width, points=points))
    return element("svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)


def _place(value: float | None, log: bool) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    if log:
        return math.log10(value) if value > 0 else None
    return value


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Stretches without a gap, of (index, value)."""
    runs: list[list[tuple[int, float]]] = [[]]
    for index, value in enumerate(values):
        if value is not None:
            runs[-1].append((index, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """Three to six round numbers that reach around a range."""
    if log:
        least, most = math.floor(low), math.ceil(high)
        step = max(1, math.ceil((most - least) / 5))
        return [float(tick) for tick in range(least, most + step, step)]
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / 4))
    step_size = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= span / 4)
    least, most = math.floor(low / step_size), math.ceil(high / step_size)
    return [tick * step_size for tick in range(least, most + 1)]


def _power(exponent: float) -> str:
    return f"1e{exponent:.0f}" if exponent else "1"
