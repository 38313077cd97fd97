"""What was measured, drawn: the figures of `results.json` as PNG files beside docs/performance.md."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.durable import NODES
from benchmarks.growth import CLASSES
from benchmarks.queueing import NODES as COUNTS
from benchmarks.reading import RAPIDOCR, TESSERACT
from benchmarks.rivals import LOADS, OURS, SERVERS

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "performance"
INK, QUIET, OTHER = "#1f4e79", "#9db4c8", "#c26d2d"

_MODELS: Final = {
    "device_20_ms_and_1_ms_an_item": "A simulated device",
    "vit_hidden_64_image_32": "ViT, 64 wide, 32 px",
    "vit_hidden_192_image_224": "ViT, 192 wide, 224 px",
}

Results = Mapping[str, Mapping[str, Any]]


def draw(results: Results) -> list[Path]:
    """Whatever the results hold; returns the files."""
    FOLDER.mkdir(exist_ok=True)
    drawn = []
    for part, name, paint in (
        ("Durable tasks", "durable", _durable),
        ("Servers on one model", "servers", _servers),
        ("Growth with classes", "classes", _classes),
        ("Several nodes", "nodes", _nodes),
        ("Rivals on the same scans", "rivals", _rivals),
        ("Reading, and what comes of it", "reading", _reading),
    ):
        if part in results:
            figure = Figure(figsize=(7, 3.4), dpi=110, layout="constrained")
            paint(figure, results[part])
            path = FOLDER / f"{name}.png"
            # Without the date and the version, a file changes when its figures do.
            figure.savefig(path, metadata={"Software": None})
            drawn.append(path)
    return drawn


def _plain(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], title: str, form: str = "{:.0f}") -> None:
    bars = axes.barh(names, values, color=[INK if name == OURS else QUIET for name in names])
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8)
    if not axes.yaxis_inverted():
        # Axes that are shared turn together.
        axes.invert_yaxis()
    axes.margins(x=0.15)
    _plain(axes, title)


def _durable(figure: Figure, figures: Mapping[str, Any]) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, NODES, [figures[f"{name}, tasks/s"] for name in NODES], "Tasks a second")
    spent = [figures[f"{name}, processor ms a task"] for name in NODES]
    _bars(right, NODES, spent, "Milliseconds of processor a task", "{:.1f}")


def _servers(figure: Figure, figures: Mapping[str, Any]) -> None:
    found: dict[str, dict[str, dict[int, float]]] = {}
    for key, value in figures.items():
        if match := re.fullmatch(r"(\w+), (\d+) in flight: (threads|two nodes|prefork|litserve) images/s", key):
            model, in_flight, server = match.groups()
            found.setdefault(model, {}).setdefault(server, {})[int(in_flight)] = value
    styles = {"threads": (INK, "o-"), "two nodes": (INK, "o:"), "litserve": (OTHER, "o-"), "prefork": (QUIET, "o-")}
    for axes, (model, servers) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for server, rates in servers.items():
            label = {"threads": OURS, "two nodes": f"two of {OURS}"}.get(server, server)
            colour, style = styles[server]
            axes.plot(list(rates), list(rates.values()), style, color=colour, markersize=3, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
        axes.set_xlabel("in flight", fontsize=8)
        axes.set_ylim(bottom=0)
        _plain(axes, _MODELS[model])
    figure.axes[0].set_ylabel("images a second", fontsize=8)
    figure.axes[0].legend(fontsize=8, frameon=False)


def _classes(figure: Figure, figures: Mapping[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    for axes, what, title in (
        (left, "ms", "Milliseconds to decide on a page"),
        (right, "seconds to load", "Seconds to load a version"),
    ):
        axes.loglog(CLASSES, [figures[f"{count} classes, {what}"] for count in CLASSES], "o-", color=INK)
        axes.set_xlabel("classes", fontsize=8)
        _plain(axes, title)


def _nodes(figure: Figure, figures: Mapping[str, Any]) -> None:
    axes = figure.subplots()
    best = figures["one device's best, documents/s"]
    axes.plot(COUNTS, [best * count for count in COUNTS], "--", color=QUIET, label="what the devices can do")
    axes.plot(COUNTS, [figures[f"{count} nodes, documents/s"] for count in COUNTS], "o-", color=INK, label="measured")
    axes.set_xticks(COUNTS)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("nodes", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    _plain(axes, "Documents a second")


def _rivals(figure: Figure, figures: Mapping[str, Any]) -> None:
    most = max(LOADS)
    _panels(
        figure,
        [name for name in SERVERS if f"{name}: MiB" in figures],
        figures,
        (f", {most} in flight: documents/s", f"Documents/s, {most} at once", "{:.2f}"),
        (", 1 in flight: seconds", "Seconds, alone", "{:.1f}"),
        (": MiB", "Memory, MiB", "{:.0f}"),
    )


def _reading(figure: Figure, figures: Mapping[str, Any]) -> None:
    _panels(
        figure,
        [name for name in (OURS, RAPIDOCR, TESSERACT) if f"{name}: classified right" in figures],
        figures,
        (": processor seconds a page", "Processor seconds a page", "{:.1f}"),
        (": classified right", "Classified right", "{:.2f}"),
        (": answered right", "Answered right", "{:.2f}"),
    )


def _panels(figure: Figure, names: Sequence[str], figures: Mapping[str, Any], *panels: tuple[str, str, str]) -> None:
    """A panel of bars for each figure, its title and the form of its numbers."""
    for axes, (what, title, form) in zip(figure.subplots(1, len(panels), sharey=True), panels, strict=True):
        _bars(axes, names, [figures[f"{name}{what}"] for name in names], title, form)
