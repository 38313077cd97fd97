"""Run every benchmark, print a table, and keep the figures in benchmarks/results.json."""

import json
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import answering, batching, reading, serving

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Ratios are what counts: absolute times are this machine's, at that hour."""
    console = Console(highlight=False)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A server that root starts runs as nobody, who must come this far.
        folder.chmod(0o755)
        for title, measure in (
            ("OCR of a scanned page", reading.against_rapidocr),
            ("PDF with a text layer", lambda: reading.text_layers(folder)),
            ("Documents in the worker", lambda: serving.documents(folder)),
            ("Questions", lambda: answering.questions(folder)),
            ("Batches on a simulated device", batching.simulated),
            ("Servers on one model", lambda: batching.servers(folder)),
            ("Command line", serving.command_line),
        ):
            console.print(f"[dim]Measuring: {title}[/]")
            results[title] = measure()
    table = Table("benchmark", "figure", "value", box=None, header_style="bold")
    for title, figures in results.items():
        for figure, value in figures.items():
            table.add_row(title, figure.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
    console.print(table)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
