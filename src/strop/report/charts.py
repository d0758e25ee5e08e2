"""The large charts of the page, as inline SVG: each for a desk and for a phone, of which the style sheet shows one.

A figure is drawn in placeholder colours, one per role; afterwards each is replaced by the style sheet's variable for
that role, so that one drawing serves light and dark mode. Text stays text. Equal figures give equal bytes.

matplotlib takes half a second to load, and most commands draw nothing: the first chart loads it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from strop.report.files import Interval, LoggedStep
from strop.report.metrics import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FONT_PX = 12
WIDE, NARROW = 1000, 400
MOST_POINTS = 600  # of a curve; more would only make the page heavier

# Role → placeholder. The values only have to be distinct and unlikely; the real colours are in style.css.
ROLES = {
    role: f"#a1b0{number:02x}"
    for number, role in enumerate(
        (
            "ink",
            "dim",
            "line",
            "panel",
            "before",
            "after",
            "on-time",
            *(f"run-{number}" for number in range(1, 5)),
        ),
        start=1,
    )
}
LABEL: dict[str, Any] = {"va": "center", "fontsize": FONT_PX + 1, "color": ROLES["ink"]}

Estimates = Mapping[str, Interval]


def metrics_chart(parts: Mapping[str, Estimates], names: list[str]) -> Markup:
    """Dot and whisker per rate: the estimate and its 95 % interval; of two ``parts`` the first above the second."""
    ticks = range(0, 101, 25)
    shown = {name: [estimates.get(name, Interval()) for estimates in parts.values()] for name in names}
    values = {name: " → ".join(value_text(one.value, "rate") for one in both) for name, both in shown.items()}
    sides = ((170, names), (130, values.values()))
    margins = [max(least, *(text_width(text) + 24 for text in texts)) for least, texts in sides]

    def draw(width: int) -> Figure:
        narrow = width == NARROW
        row, left, right = (62, 8, 8) if narrow else (48, *margins)
        figure = new_figure(width, row * len(names) + 30)
        axes = px_axes(figure, left, right, 4, 4 + row * len(names))
        axes.set(xlim=(0, 100), ylim=(len(names), 0), yticks=[])
        axes.set_xticks(ticks, [f"{tick}\N{NO-BREAK SPACE}%" for tick in ticks])
        # On a phone the labels stand inside the plot, above their row; on a desk to its left and right.
        plot = width - left - right
        start, end, label, side = (0, 1, 0, "left") if narrow else (-left / plot, 1 + right / plot, -12 / plot, "right")
        if narrow:  # centred, the end labels would leave the picture
            axes.get_xticklabels()[0].set_horizontalalignment("left")
            axes.get_xticklabels()[-1].set_horizontalalignment("right")
        for index, name in enumerate(names):
            top, text_y, y = (index + 0.42, index + 0.24, index + 0.68) if narrow else (index, index + 0.5, index + 0.5)
            axes.vlines(ticks, top, index + 1, color=ROLES["line"], linewidth=1, zorder=0, clip_on=False)
            if index:
                axes.axhline(index, start, end, color=ROLES["line"], linewidth=1, clip_on=False)
            places = (-0.13, 0.13) if len(parts) == 2 else (0,)
            for one, away, role in zip(shown[name], places, ("before", "after")[-len(parts) :], strict=True):
                _whisker(axes, one, y + away, ROLES[role])
            axes.text(label, text_y, name, transform=axes.get_yaxis_transform(), ha=side, **LABEL)
            axes.text(end, text_y, values[name], transform=axes.get_yaxis_transform(), ha="right", **LABEL)
        return figure

    return _for_desk_and_phone(draw, "metrics", f"Main metrics {' and '.join(parts)}, with 95 % intervals")


def loss_chart(steps: list[LoggedStep], name: str = "loss") -> Markup:
    """Loss in nats per token over steps: each step thin, smoothed thick, held-out loss as dots; learning rate below."""
    train, held_out, rates = (series(steps, name) for name in ("loss", "eval_loss", "lr"))
    last_step = max(step.step for step in steps)

    def draw(width: int) -> Figure:
        figure = new_figure(width, 342 if len(rates) else 278)
        axes = px_axes(figure, 48, 12, 8, 250)
        axes.grid(color=ROLES["line"], linewidth=1)
        at_most(5, axes.yaxis)
        if len(train):
            axes.plot(*thinned(train).T, color=ROLES["before"], linewidth=1, alpha=0.6)
            axes.plot(*thinned(smoothed(train)).T, color=ROLES["after"], linewidth=2.2)
            axes.set_ylim(*loss_limits(train[:, 1], held_out[:, 1]))
        dots: dict[str, Any] = {"markersize": 6, "markeredgecolor": ROLES["panel"], "clip_on": False}
        axes.plot(*held_out.T, "o-", color=ROLES["ink"], linewidth=1, **dots)
        panels = [axes]
        if len(rates):
            axes.tick_params(labelbottom=False)
            panels.append(px_axes(figure, 48, 12, 272, 312))
            _draw_rates(panels[-1], rates)
        for panel in panels:
            panel.set_xlim(0, max(1, last_step))
            at_most(6 if width == NARROW else 10, panel.xaxis, integer=True)
        return figure

    return _for_desk_and_phone(draw, name, "Training loss, held-out loss and learning rate over steps")


def _draw_rates(axes: Axes, rates: np.ndarray) -> None:
    axes.fill_between(*thinned(rates).T, color=ROLES["before"], alpha=0.35, linewidth=0)
    axes.text(0, 1.1, "learning rate", transform=axes.transAxes, fontsize=FONT_PX - 1, color=ROLES["dim"])
    axes.grid(axis="x", color=ROLES["line"], linewidth=1)
    highest = rates[:, 1].max()
    ticks = [highest] if highest > 0 else []
    axes.set_yticks(ticks, [np.format_float_scientific(tick, precision=1, trim="-", exp_digits=1) for tick in ticks])
    axes.set_ylim(0, 1.05 * highest if ticks else 1)


def _whisker(axes: Axes, estimate: Interval, y: float, colour: str) -> None:
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        ends = [100 * estimate.low, 100 * estimate.high]
        axes.plot(ends, [y, y], color=colour, linewidth=2.5, solid_capstyle="round", clip_on=False)
    axes.plot(100 * estimate.value, y, "o", color=colour, markersize=9, markeredgecolor=ROLES["panel"], clip_on=False)


def series(steps: list[LoggedStep], name: str) -> np.ndarray:
    """``[points, 2]`` of (step, value), ascending. A resumed run repeats steps; what was logged last counts."""
    values = {step.step: value for step in steps if (value := getattr(step, name, None)) is not None}
    return np.array(sorted(values.items()), dtype=float).reshape(-1, 2)


def smoothing_span(points: int) -> int:
    """Over how many steps the loss is averaged: a twentieth of the run, between 3 and 50."""
    return min(50, max(3, points // 20))


def smoothed(points: np.ndarray) -> np.ndarray:
    """``points`` with column 1 averaged around each step by a Hann window, ``smoothing_span`` wide at half its height.

    Centred, so that it does not lag behind a falling loss as an exponential average does; cut at the ends of the run.
    """
    window = np.hanning(2 * smoothing_span(len(points)) + 1)
    reach = len(window) // 2
    sums, weights = (np.convolve(values, window)[reach:-reach] for values in (points[:, 1], np.ones(len(points))))
    return np.column_stack([points[:, 0], sums / weights])


def thinned(points: np.ndarray) -> np.ndarray:
    """At most ``MOST_POINTS`` of the points, evenly spaced, with the first and the last."""
    if len(points) <= MOST_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]


def loss_limits(train: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """Room for all but the wildest hundredth of the steps, so that one spike does not flatten the curve.

    ``train`` and ``held_out`` are losses, ``[points]`` each, the first not empty.
    """
    low = min([np.quantile(train, 0.01), train[-1], *held_out])
    high = max([np.quantile(train, 0.99), *held_out])
    margin = 0.06 * (high - low) or 0.1
    return max(0.0, low - margin), high + margin


def new_figure(width: float, height: float) -> Figure:
    """An empty figure whose data units of size are CSS pixels at full width."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def text_width(text: str) -> float:
    """Pixels that a label takes in DejaVu Sans, which runs wider than what browsers choose for plain text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), text, size=LABEL["fontsize"], prop=FontProperties(family="DejaVu Sans")).get_extents().width


def px_axes(figure: Figure, left: float, right: float, top: float, bottom: float) -> Axes:
    """Bare axes; ``left`` and ``right`` are pixels from that side, ``top`` and ``bottom`` pixels from the top."""
    width, height = figure.get_size_inches() * 72
    axes = figure.add_axes((left / width, 1 - bottom / height, (width - left - right) / width, (bottom - top) / height))
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=FONT_PX, labelcolor=ROLES["dim"], color=ROLES["line"], pad=6)
    axes.set_axisbelow(True)
    return axes


def at_most(ticks: int, axis: Axis, integer: bool = False) -> None:
    """Give the axis up to ``ticks`` steps at round numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(ticks, integer=integer))


def _for_desk_and_phone(draw: Callable[[int], Figure], name: str, label: str) -> Markup:
    desk = inline_svg(draw(WIDE), name, label, "wide")
    return desk + inline_svg(draw(NARROW), f"{name}-narrow", label, "narrow")


def inline_svg(figure: Figure, name: str, label: str, css_class: str) -> Markup:
    """The figure as an ``<svg>`` element; ``name`` keeps its ids apart from other charts', ``label`` is read aloud."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "strop"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    # The inner style sheet would apply to the whole page.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = svg.replace("xlink:href=", "href=")
    used = set(re.findall(r"(?:href=\"|url\()#([^\")]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    for role, placeholder in ROLES.items():
        svg = svg.replace(placeholder, f"var(--{role})")
    box = re.search(r'viewBox="[^"]+"', svg)
    head = f'<svg class="chart {css_class}" role="img" aria-label="{escape(label)}" {box[0] if box else ""}>'
    body = svg[svg.index(">") + 1 :]
    return Markup(head + re.sub(r"\s*\n\s*", " ", body))
