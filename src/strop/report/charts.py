"""The three charts of the page. Each is drawn twice, for a desk and for a phone; the style sheet shows one of them."""

from collections.abc import Callable, Mapping

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from strop.report.curve import loss_limits, series, smoothed, thinned
from strop.report.files import Interval, LoggedStep
from strop.report.metrics import value_text
from strop.report.svg import FONT_PX, ROLES, new_figure, px_axes, to_inline_svg
from strop.tasks.metrics import VERDICTS

WIDE, NARROW = 1000, 400
LABEL = {"va": "center", "fontsize": FONT_PX + 1, "color": ROLES["ink"]}

Estimates = Mapping[str, Interval]


def metrics_chart(parts: Mapping[str, Estimates], names: list[str]) -> Markup:
    """Dot and whisker per rate: the estimate and its 95 % interval; of two ``parts`` the first above the second."""
    ticks = range(0, 101, 25)

    def draw(width: int) -> Figure:
        narrow = width == NARROW
        row, left, right = (62, 8, 8) if narrow else (48, 170, 130)
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
            shown = [estimates.get(name, Interval()) for estimates in parts.values()]
            places = (-0.13, 0.13) if len(shown) == 2 else (0,)
            for one, away, role in zip(shown, places, ("before", "after")[-len(shown) :], strict=True):
                _whisker(axes, one, y + away, ROLES[role])
            values = " → ".join(value_text(one.value, "rate") for one in shown)
            axes.text(label, text_y, name, transform=axes.get_yaxis_transform(), ha=side, **LABEL)
            axes.text(end, text_y, values, transform=axes.get_yaxis_transform(), ha="right", **LABEL)
        return figure

    return _for_desk_and_phone(draw, "metrics", f"Main metrics {' and '.join(parts)}, with 95 % intervals")


def verdict_chart(parts: Mapping[str, Estimates]) -> Markup:
    """A stacked bar for each of ``parts``: the share of answers per verdict."""
    rows = list(parts.items())

    def draw(width: int) -> Figure:
        narrow = width == NARROW
        row, left, right, height = (58, 8, 8, 0.55) if narrow else (46, 80, 8, 0.66)
        figure = new_figure(width, row * len(rows) + 2)
        axes = px_axes(figure, left, right, 0, row * len(rows))
        axes.set(xlim=(0, 1), ylim=(len(rows), 0), xticks=[], yticks=[])
        for index, (label, estimates) in enumerate(rows):
            y, start = index + (0.66 if narrow else 0.5), 0.0
            if narrow:
                axes.text(0, index + 0.2, label, ha="left", **LABEL)
            else:
                axes.text(-12 / (width - left - right), y, label, ha="right", **LABEL)
            for verdict in VERDICTS:
                share = estimates.get(f"verdict/{verdict}", Interval()).value or 0.0
                edge = {"edgecolor": ROLES["panel"], "linewidth": 1.5}
                axes.barh(y, share, left=start, height=height, color=ROLES[f"verdict-{verdict}"], **edge)
                if share * width > 48:  # room for the number
                    inside = {"ha": "center", "va": "center_baseline", "color": ROLES["on-verdict"]}
                    axes.text(start + share / 2, y, value_text(share, "rate"), fontsize=FONT_PX, **inside)
                start += share
        return figure

    return _for_desk_and_phone(draw, "verdicts", f"Share of answers per verdict, {' and '.join(parts)}")


def loss_chart(steps: list[LoggedStep]) -> Markup:
    """Loss in nats per token over steps: each step thin, smoothed thick, held-out loss as dots; learning rate below."""
    train, held_out, rates = (series(steps, name) for name in ("loss", "eval_loss", "lr"))
    last_step = max(step.step for step in steps)

    def draw(width: int) -> Figure:
        figure = new_figure(width, 342 if len(rates) else 278)
        axes = px_axes(figure, 48, 12, 8, 250)
        axes.grid(color=ROLES["line"], linewidth=1)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if len(train):
            axes.plot(*thinned(train).T, color=ROLES["before"], linewidth=1, alpha=0.6)
            axes.plot(*thinned(smoothed(train)).T, color=ROLES["after"], linewidth=2.2)
            axes.set_ylim(*loss_limits(train[:, 1], held_out[:, 1]))
        dots = {"markersize": 6, "markeredgecolor": ROLES["panel"], "clip_on": False}
        axes.plot(*held_out.T, "o-", color=ROLES["ink"], linewidth=1, **dots)
        panels = [axes]
        if len(rates):
            axes.tick_params(labelbottom=False)
            panels.append(px_axes(figure, 48, 12, 272, 312))
            _draw_rates(panels[-1], rates)
        for panel in panels:
            panel.set_xlim(0, max(1, last_step))
            panel.xaxis.set_major_locator(MaxNLocator(6 if width == NARROW else 10, integer=True))
        return figure

    return _for_desk_and_phone(draw, "loss", "Training loss, held-out loss and learning rate over steps")


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


def _for_desk_and_phone(draw: Callable[[int], Figure], name: str, label: str) -> Markup:
    desk = to_inline_svg(draw(WIDE), name, label, "wide")
    return desk + to_inline_svg(draw(NARROW), f"{name}-narrow", label, "narrow")
