"""matplotlib figures as inline SVG that follows the page: its colours, its font, its light and dark mode.

A figure is drawn in placeholder colours, one per role; afterwards each is replaced by the style sheet's variable for
that role, so that one drawing serves both modes. Text stays text. Equal figures give equal bytes.
"""

import io
import re
from html import escape

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FONT_PX = 12

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
            "on-verdict",
            "verdict-accepted",
            "verdict-wrong_answer",
            "verdict-runtime_error",
            "verdict-timeout",
            "verdict-syntax_error",
            "verdict-no_code",
        ),
        start=1,
    )
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure whose data units of size are CSS pixels at full width."""
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def px_axes(figure: Figure, left: float, right: float, top: float, bottom: float) -> Axes:
    """Bare axes; ``left`` and ``right`` are pixels from that side, ``top`` and ``bottom`` pixels from the top."""
    width, height = figure.get_size_inches() * 72
    axes = figure.add_axes((left / width, 1 - bottom / height, (width - left - right) / width, (bottom - top) / height))
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=FONT_PX, labelcolor=ROLES["dim"], color=ROLES["line"], pad=6)
    axes.set_axisbelow(True)
    return axes


def to_inline_svg(figure: Figure, name: str, label: str, css_class: str = "") -> Markup:
    """The figure as an ``<svg>`` element; ``name`` keeps its ids apart from other charts', ``label`` is read aloud."""
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
    view_box = re.search(r'viewBox="[^"]+"', svg)[0]
    head = f'<svg class="chart {css_class}" role="img" aria-label="{escape(label)}" {view_box}>'
    body = svg[svg.index(">") + 1 :]
    return Markup(head + re.sub(r"\s*\n\s*", " ", body))
