"""Damaged files by the thousand through the reader, and a table of what became of them: `make fuzz`.

Ends with an error where a file came to anything but pages or a refusal with a code.
"""

import argparse
import gc
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil
from mutated import mutations
from rich.console import Console
from rich.table import Table

from core.documents import Document
from core.errors import IntakeError, RejectedInput
from core.reading import Reader
from core.reading_process import ReadingProcess
from core.settings import Documents, Reading

TIMEOUT = 20.0
"""Seconds for a page."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: `pages`, or the code of its refusal or, which is a fault of ours, of a failure."""

    number: int
    kind: str
    code: str
    seconds: float
    fault: str | None = None


def outcome(reader: Reader, number: int, kind: str, content: bytes) -> Outcome:
    """Read the file's first page."""
    started = time.monotonic()
    code, fault = "pages", None
    try:
        reader.read(Document.of(content), "first")
    except RejectedInput as error:
        code = error.code
    except IntakeError as error:
        code, fault = error.code, error.message
    return Outcome(number, kind, code, time.monotonic() - started, fault)


@contextmanager
def deaths() -> Iterator[list[ReadingProcess]]:
    """Whose process was started anew, as often as it was."""
    seen: set[int] = set()
    died: list[ReadingProcess] = []
    start = ReadingProcess.start

    def counted(process: ReadingProcess) -> None:
        if id(process) in seen:
            died.append(process)
        seen.add(id(process))
        start(process)

    ReadingProcess.start = counted  # type: ignore[method-assign]
    try:
        yield died
    finally:
        ReadingProcess.start = start  # type: ignore[method-assign]


def memory() -> int:
    """Bytes that this process holds now."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, help="folder for files that came to anything else")
    chosen = parser.parse_args()
    console = Console()
    with deaths() as died:
        reader = Reader(Reading(processes=2, timeout=TIMEOUT), Documents())
        with ThreadPoolExecutor(4) as threads:

            def run(files: Iterator[tuple[int, tuple[str, bytes]]]) -> list[Outcome]:
                return list(threads.map(lambda file: outcome(reader, file[0], *file[1]), files))

            files = enumerate(mutations(chosen.seed))
            outcomes = run(islice(files, 100))
            before = memory()
            started = time.monotonic()
            outcomes += run(islice(files, max(chosen.files - 100, 0)))
            seconds = time.monotonic() - started
            after = memory()
        reader.close()
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for each in outcomes:
        by_kind[each.kind][each.code] += 1
    codes = [code for code, _ in Counter(each.code for each in outcomes).most_common()]
    table = Table("kind", *codes, title=f"{len(outcomes)} damaged files, seed {chosen.seed}")
    for kind, counts in by_kind.items():
        table.add_row(kind, *(str(counts[code] or "") for code in codes))
    table.add_section()
    table.add_row("all", *(str(sum(counts[code] for counts in by_kind.values())) for code in codes))
    console.print(table)
    slowest = sorted(outcomes, key=lambda each: -each.seconds)[:5]
    console.print(
        "slowest:", ", ".join(f"{each.kind} #{each.number} {each.code} {each.seconds:.1f} s" for each in slowest)
    )
    console.print(
        f"memory of the parent: {before / 2**20:.0f} MiB after 100 files, {after / 2**20:.0f} MiB after all: "
        f"{after / before:.2f}x"
    )
    console.print(f"reading processes that died: {len(died)}; {len(outcomes) / max(seconds, 1e-9):.0f} files/s")
    faults = {each.number: each for each in outcomes if each.fault}
    for each in faults.values():
        console.print(f"[red]{each.kind} #{each.number}: {each.code}: {each.fault}")
    if faults and chosen.save:
        chosen.save.mkdir(parents=True, exist_ok=True)
        for number, (kind, content) in enumerate(islice(mutations(chosen.seed), max(faults) + 1)):
            if number in faults:
                (chosen.save / f"{number} {kind}").write_bytes(content)
    if faults or after > 1.2 * before:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
