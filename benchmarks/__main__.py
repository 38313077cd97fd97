"""Run every benchmark, or those parts that are named, print a table, and keep the figures in benchmarks/results.json.

`python -m benchmarks "Durable tasks" "Growth with classes"` measures these anew and keeps the others as they were.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks import answering, batching, durable, growth, plots, queueing, reading, rivals, serving, start

RESULTS: Final = Path(__file__).with_name("results.json")
PARTS: Final[dict[str, Callable[[Path], dict[str, Any]]]] = {
    "Reading, and what comes of it": reading.against_others,
    "PDF with a text layer": reading.text_layers,
    "Documents in the worker": serving.documents,
    "Questions": answering.questions,
    "The queue's own cost": queueing.overhead,
    "Durable tasks": durable.rates,
    "Several nodes": queueing.nodes,
    "Batches on a simulated device": lambda _: batching.simulated(),
    "Servers on one model": batching.servers,
    "Growth with classes": growth.classes,
    "Growth with history": growth.history,
    "Growth with labels": growth.labels,
    "Growth of the database": growth.rows,
    "Start and memory": start.node,
    "Rivals on the same scans": rivals.rivals,
}


def main() -> None:
    """Ratios are what counts: absolute times are this machine's, at that hour."""
    console = Console(highlight=False)
    # Not a line for each job that is measured.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in wanted if part not in PARTS]:
        sys.exit(f"There is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results: dict[str, dict[str, Any]] = {part: kept[part] for part in PARTS if part in kept and part not in wanted}
    for part in wanted:
        console.print(f"[dim]Measuring: {part}[/]")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # A server that root starts runs as nobody, who must come this far.
            folder.chmod(0o755)
            results[part] = PARTS[part](folder)
        # What was measured is kept, whatever becomes of the rest.
        in_order = {each: results[each] for each in PARTS if each in results}
        RESULTS.write_text(json.dumps(in_order, indent=2) + "\n", encoding="utf-8")
    table = Table("benchmark", "figure", "value", box=None, header_style="bold")
    for part in wanted:
        for figure, value in results[part].items():
            table.add_row(part, figure.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
    console.print(table)
    for path in plots.draw(results):
        console.print(f"[dim]{path}[/]")


if __name__ == "__main__":
    main()
