"""Figures as pure functions: arrays in, a matplotlib `Figure` out; nothing is shown, saved or remembered.

Every figure is a white card, so that it reads on a light and on a dark page, and gives each kind of quantity the
colour that it has in the text. Lines also differ in their dashes, for readers who see the colours as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator

INK = "gray_r"  # digits as ink on paper
SIGNED = "RdBu"  # weights: blue excites, red inhibits

# The colours of book.css on a light page (after Okabe and Ito).
VISIBLE, HIDDEN, LABEL, WEIGHT, ENERGY = "#0072b2", "#b34700", "#a3467f", "#00795a", "#6b5b00"
COLOURS = (VISIBLE, HIDDEN, WEIGHT, LABEL, ENERGY, "#555555")
DARK = "#444444"  # arrows, and what they are called
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)))


def _styles(kinds: Iterable[Any], marks: Sequence[Any] = DASHES) -> list[tuple[Any, str, Any]]:
    """Each kind with a colour and a mark, all pairs different: from the seventh on colours return with other marks."""
    n = len(COLOURS)
    return [(kind, COLOURS[i % n], marks[(i + i // n) % len(marks)]) for i, kind in enumerate(kinds)]


def _card(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _axes(figure: Figure, x_label: str, y_label: str) -> Axes:
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return axes


def _legend(figure: Figure) -> None:
    """Of the first axes, above it, where no line can run through it, in as many columns as the width has room for."""
    handles, names = figure.axes[0].get_legend_handles_labels()

    def fits(columns: int) -> bool:  # in characters, of which the sample of a line takes 6; filled column by column
        widths = (6 + max(map(len, column)) for column in np.array_split(names, columns))
        return sum(widths) <= 11.5 * figure.get_figwidth()

    columns = max(filter(fits, range(2, len(names) + 1)), default=1)
    figure.legend(handles, names, loc="outside upper center", ncols=columns, frameon=False)


def image_grid(
    images: np.ndarray,
    shape: tuple[int, int],
    columns: int = 10,
    titles: Sequence[str] = (),
    signed: bool = False,
    framed: bool = False,
) -> Figure:
    """Pictures (n, height * width) side by side, row by row; values in [0, 1], or any values if `signed`.

    With `signed` the colours are symmetric about zero and share one scale over all pictures. `titles` go to the
    first pictures, as many as there are: one for each column makes a header. `framed` shows where pictures end.
    """
    rows = -(-len(images) // columns)
    figure = _card(0.8 * columns, 0.8 * rows + 0.25 * -(-len(titles) // columns))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    limit = float(np.abs(images).max()) or 1.0
    for axis in axes:
        axis.set_axis_off()
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        low, colours = (-limit, SIGNED) if signed else (0.0, INK)
        axis.imshow(image.reshape(shape), cmap=colours, vmin=low, vmax=limit if signed else 1.0)
        if i < len(titles):
            axis.set_title(titles[i], fontsize="small")
        if framed:
            axis.set_axis_on()
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color("#bbbbbb")
    return figure


def beside(sheets: dict[str, np.ndarray], shape: tuple[int, int], columns: int = 10) -> Figure:
    """Sheets of pictures side by side, (n, height * width) in [0, 1] each, under their names: row against row.

    Thin lines stand between the pictures, so that an empty one is seen to be there.
    """
    height, width = shape
    rows = max(-(-len(images) // columns) for images in sheets.values())
    figure = _card(0.42 * columns * len(sheets), 0.42 * rows * height / width + 0.35)
    panels = figure.subplots(1, len(sheets), squeeze=False)[0]
    for axes, (name, images) in zip(panels, sheets.items(), strict=True):
        sheet = np.full((rows, height + 1, columns, width + 1), 0.25)
        for i, image in enumerate(images):
            sheet[i // columns, :height, i % columns, :width] = image.reshape(shape)
        pages = sheet.reshape(rows * (height + 1), -1)[:-1, :-1]
        axes.imshow(pages, cmap=INK, vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(name, fontsize="medium")
    return figure


def contact_sheet(images: np.ndarray, shape: tuple[int, int], columns: int, titles: Sequence[str] = ()) -> Figure:
    """Hundreds of pictures (n, height * width) in [0, 1] on one sheet, row by row, with titles above where given.

    What `image_grid` does for a few, at a hundredth of the time: there is one image and one pair of axes.
    """
    (height, width), rows = shape, -(-len(images) // columns)
    above, beside = (height // 2 if titles else height // 8), width // 8
    sheet = np.zeros((rows, above + height, columns, width + beside))
    for i, image in enumerate(images):
        sheet[i // columns, above:, i % columns, :width] = image.reshape(shape)
    figure = _card(0.55 * columns, max(0.2, 0.55 * rows * (above + height) / (width + beside)))
    axes = figure.subplots()
    axes.imshow(sheet.reshape(rows * (above + height), -1), cmap=INK, vmin=0, vmax=1)
    axes.set_axis_off()
    for i, title in enumerate(titles):
        x, y = (i % columns) * (width + beside) + width / 2, (i // columns) * (above + height) + above
        axes.text(x, y - 1, title, ha="center", va="bottom", fontsize=7)
    return figure


def curves(
    series: dict[str, Sequence[float]],
    x_label: str,
    y_label: str,
    x: Sequence[float] | None = None,
    log_y: bool = False,
) -> Figure:
    """Lines over x, or over 1, 2, 3, ... without it, one for each entry of `series`, labelled by its name."""
    figure = _card(5.2, 3)
    axes = _axes(figure, x_label, y_label)
    for (name, values), colour, dashes in _styles(series.items()):
        places = range(1, len(values) + 1) if x is None else x
        marker = "o" if len(values) <= 30 else None
        axes.plot(places, values, color=colour, linestyle=dashes, marker=marker, markersize=3, label=name)
    if x is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log_y:
        axes.set_yscale("log")
    if len(series) > 1:
        _legend(figure)
    return figure


def probabilities(probs: np.ndarray, found: dict[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Bars for the probability of each state (n,), and dots for each measurement of it in `found`."""
    figure = _card(5.2, 2.8)
    axes = _axes(figure, "state", "probability")
    places = np.arange(len(probs))
    axes.bar(places, probs, color="#d0d0d0", label="exact")
    for (name, values), colour, marker in _styles(found.items(), "oxs^v"):
        axes.plot(places, values, marker, color=colour, markersize=5, label=name)
    upright = sum(map(len, names)) > 30  # side by side they would touch
    axes.set_xticks(places, names, rotation=90 if upright else 0, family="monospace", fontsize="small")
    _legend(figure)
    return figure


def gibbs_chain(visible: np.ndarray, hidden: np.ndarray, shape: tuple[int, int], hid_shape: tuple[int, int]) -> Figure:
    """Alternating Gibbs sampling as figure 4 draws it: v0 below, up to h0, down to v1, up to h1, and so on.

    visible (n, height * width) and hidden (n, rows * columns), both in [0, 1], in the order of time.
    """
    n = len(visible)
    figure = _card(1.3 * n, 2.6)
    grid = figure.subplots(2, n, squeeze=False, gridspec_kw={"hspace": 0.25})
    for t, (below, above) in enumerate(zip(visible, hidden, strict=True)):
        layers = ((above, hid_shape, "h", HIDDEN), (below, shape, "v", VISIBLE))
        for axis, (states, size, name, colour) in zip(grid[:, t], layers, strict=True):
            axis.imshow(states.reshape(size), cmap=INK, vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_color(colour)
            axis.set_ylabel(f"${name}^{{{t}}}$", rotation=0, color=colour, labelpad=8, va="center")
        _arrow(figure, grid[1, t], (0.5, 1.02), grid[0, t], (0.5, -0.03))
        if t + 1 < n:
            _arrow(figure, grid[0, t], (0.8, -0.03), grid[1, t + 1], (0.2, 1.02))
    return figure


def _arrow(figure: Figure, start: Axes, at: tuple[float, float], end: Axes, to: tuple[float, float]) -> None:
    arrow = ConnectionPatch(at, to, start.transAxes, end.transAxes, arrowstyle="->", color="#555555")
    arrow.set_in_layout(False)
    figure.add_artist(arrow)


def diagram(
    boxes: dict[str, tuple[float, float, str] | tuple[float, float, str, float]],
    arrows: Sequence[tuple[str, str, str, str]],
    groups: dict[str, Sequence[str]] | None = None,
) -> Figure:
    """Layers as boxes, name: (x, y, colour) or (x, y, colour, width), joined by arrows (from, to, label, kind).

    Units are 1.6 inches to the right and 0.8 up; a box is 0.75 wide if nothing else is said, and has no frame if its
    colour is "". Kinds: "generates" is a solid arrow, "infers" a dashed one beside it, "both" has two heads; arrows
    stand upright between boxes of which one is above the other. `groups` names boxes on a common ground.
    """
    spans = {name: (x, y, width[0] if width else 0.75) for name, (x, y, _, *width) in boxes.items()}
    low, high = _extent(spans.values())
    low, high = low - np.array([0.25, 0.1]), high + np.array([0.25, 0.35 if groups else 0.1])
    figure = _card(*(np.array([1.6, 0.8]) * (high - low)))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for name, members in (groups or {}).items():
        (left, bottom), (right, top) = _extent(spans[member] for member in members)
        ground = _box((left - 0.12, bottom - 0.08), right - left + 0.24, top - bottom + 0.38, "#e9e9e9", "none")
        axes.add_patch(ground).set_zorder(0)
        axes.text((left + right) / 2, top + 0.14, name, ha="center", va="center", color=DARK)
    frames = {}
    for name, (x, y, colour, *_) in boxes.items():
        left, width = x - spans[name][2] / 2, spans[name][2]
        frames[name] = _box((left, y - 0.2), width, 0.4, "white" if colour else "none", colour or "none")
        axes.add_patch(frames[name]).set_zorder(3)
        axes.text(x, y, name, ha="center", va="center", color=colour or DARK, zorder=4)
    for start, end, label, kind in arrows:
        aside = {"generates": -0.08, "infers": 0.08, "both": 0.0}[kind]
        (x0, y0, w0), (x1, y1, w1) = spans[start], spans[end]
        left, right = max(x0 - w0 / 2, x1 - w1 / 2), min(x0 + w0 / 2, x1 + w1 / 2)
        if left < right:  # one above the other
            x0 = x1 = (left + right) / 2
        look: dict[str, Any] = {"color": DARK, "linewidth": 1.2, "mutation_scale": 12, "shrinkA": 3, "shrinkB": 3}
        look |= {"arrowstyle": "<->" if kind == "both" else "->", "linestyle": "--" if kind == "infers" else "-"}
        look |= {"patchA": frames[start], "patchB": frames[end]}
        with rc_context({"lines.dashed_pattern": (8.5, 3)}):  # so long that no dash ends within a head
            axes.annotate("", (x1 + aside, y1), (x0 + aside, y0), arrowprops=look)
        beside = (x0 + x1) / 2 + (1.6 * aside or 0.05), (y0 + y1) / 2
        axes.text(*beside, label, ha="right" if aside < 0 else "left", va="center", color=DARK)
    return figure


def _extent(spans: Iterable[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The corners, lower left and upper right, of what boxes (x, y, width) take up together."""
    x, y, width = np.array(list(spans)).T
    return np.array([(x - width / 2).min(), y.min() - 0.2]), np.array([(x + width / 2).max(), y.max() + 0.2])


def _box(corner: tuple[float, float], width: float, height: float, ground: str, edge: str) -> FancyBboxPatch:
    look: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.06", "mutation_aspect": 2, "linewidth": 1.6}
    return FancyBboxPatch(corner, width, height, facecolor=ground, edgecolor=edge, **look)


def learning_curves(rows: Sequence[dict[str, Any]], levels: dict[str, float]) -> Figure:
    """Errors in percent over the epochs of a recorded run: stages are marked, `levels` are named horizontal lines.

    Needs of each row `stage`, `train_error`, `validation_error` and `test_error`, None where nothing was measured.
    """
    figure = _card(8, 3.4)
    axes = _axes(figure, "epochs", "error, %")
    for name, colour, dashes in _styles(("validation", "train", "test")):
        found = [(i, row[f"{name}_error"]) for i, row in enumerate(rows, 1) if row[f"{name}_error"] is not None]
        marker = "o" if len(found) <= 60 else None
        places, errors = np.reshape(found, (-1, 2)).T
        axes.plot(places, errors, color=colour, linestyle=dashes, marker=marker, markersize=3, label=name)
    for name, level in levels.items():
        axes.axhline(level, color="#777777", linewidth=1)
        axes.annotate(name, (1, level), (3, 0), ("axes fraction", "data"), textcoords="offset points", va="center")
    for i, row in enumerate(rows):
        if not i or row["stage"] != rows[i - 1]["stage"]:
            axes.axvline(i + 0.5, color="#cccccc", linewidth=1, zorder=0)
            axes.text(i + 1, 1.02, row["stage"], transform=axes.get_xaxis_transform(), fontsize="small")
    _legend(figure)
    return figure


def benchmark(rows: Sequence[dict[str, Any]]) -> Figure:
    """Rows of the benchmark: time as a ratio to the products alone (the line at 1), a panel for each number of threads.

    Needs of each row `stage`, `who`, `threads`, `ratio`, `seconds` and `range`; a bar joins the ends of the range.
    """
    timed = [row for row in rows if "ratio" in row and "sweep" not in row]
    stages, who, threads = (list(dict.fromkeys(row[key] for row in timed)) for key in ("stage", "who", "threads"))
    who.remove("floor")
    figure = _card(8, 3.4)
    panels = figure.subplots(1, len(threads), squeeze=False, sharey=True)[0]
    for axes, n in zip(panels, threads, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(f"{n} thread{'s' * (n > 1)}", fontsize="medium")
        axes.axhline(1, color="#555555", linewidth=1)
        axes.set_xticks(range(len(stages)), stages, rotation=30, ha="right")
        for i, (name, colour, marker) in enumerate(_styles(who, "osD^v")):
            own = [row for row in timed if (row["who"], row["threads"]) == (name, n)]
            places = [stages.index(row["stage"]) + 0.12 * (i - (len(who) - 1) / 2) for row in own]
            ratios = np.array([row["ratio"] for row in own])
            ends = np.array([row["range"] for row in own]).T * ratios / [row["seconds"] for row in own]
            axes.vlines(places, *ends, color=colour, linewidth=1)
            axes.plot(places, ratios, marker, color=colour, markersize=5, label=name)
    panels[0].set_ylabel("time, as a ratio to the floor")
    _legend(figure)
    return figure


def walks(energies: dict[str, Sequence[np.ndarray]], x_label: str, y_label: str) -> Figure:
    """Free energies along walks of any length, above the higher end of each: thin lines, and bold ones for medians.

    `energies` has a list of walks for each kind; all are drawn from 0 to 1, whatever the number of their steps.
    """
    figure, way = _card(5.2, 3.2), np.linspace(0, 1, 101)
    axes = _axes(figure, x_label, y_label)
    for (name, lines), colour, dashes in _styles(energies.items()):
        above = [np.interp(way, np.linspace(0, 1, len(line)), line - max(line[0], line[-1])) for line in lines]
        axes.plot(way, np.transpose(above), color=colour, linewidth=0.5, alpha=0.35)
        axes.plot(way, np.median(above, axis=0), color=colour, linestyle=dashes, linewidth=2.5, label=name)
    _legend(figure)
    return figure


def against(
    x: Sequence[float],
    claimed: Sequence[float],
    found: Sequence[float],
    kinds: Sequence[str],
    x_label: str,
    log_x: bool,
) -> Figure:
    """Error rates in percent against x: a ring for each as claimed, a filled mark as found, numbered from 1.

    `kinds` tells groups apart, by colour and shape. What was not found is NaN and has its ring only.
    """
    figure = _card(6.4, 4)
    axes = _axes(figure, x_label, "test error, percent")
    axes.set_yscale("log")
    for kind, colour, marker in _styles(dict.fromkeys(kinds), "osD^v"):
        own = [i for i, name in enumerate(kinds) if name == kind]
        places, low, high = (np.array([values[i] for i in own], float) for values in (x, claimed, found))
        axes.vlines(places, low, high, color=colour, linewidth=1)
        axes.plot(places, low, marker, markerfacecolor="white", color=colour, markersize=7, linestyle="none")
        axes.plot(places, high, marker, color=colour, markersize=5, linestyle="none", label=f"{kind}, ours")
        for i, place, y in zip(own, places, np.fmax(low, high), strict=True):
            axes.annotate(str(i + 1), (place, y), (0, 7), textcoords="offset points", ha="center", fontsize="small")
    axes.plot([], [], "o", markerfacecolor="white", color="#555555", label="the paper")
    ticks = (0.4, 0.6, 1, 1.5, 2, 3, 4)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    if log_x:
        axes.set_xscale("log")
    _legend(figure)
    return figure
