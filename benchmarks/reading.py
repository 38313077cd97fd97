"""Reading a page: ours against RapidOCR's own call and Tesseract, on the same files, and what comes of their text.

In processor time of one thread, which other work on the machine disturbs least.
"""

import csv
import io
import os
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.contender import SINGLE
from core.answer import DocumentType, Inquiry, answer_questions, directly
from core.answer_evaluation import Judged as Answered
from core.answer_evaluation import KnownQuestion, read_questions
from core.answer_evaluation import evaluate as evaluate_answers
from core.backends import make_backend
from core.class_set import ClassSet
from core.classify import Classifier, Decision
from core.contract import DocumentReference
from core.documents import Document, fetch
from core.evaluation import Judged, evaluate, files_in
from core.features import features_of
from core.page import Line, Page
from core.reading import Reader
from core.reading_process import ReadingProcess
from core.recognition import in_reading_order
from core.settings import Documents, Reading, Settings, Thresholds
from samples import CLASSES, render, wear
from samples.rendered import rendered
from worker.stack import CLASSES as CLASS_SETS

REAL: Final = Path(__file__).resolve().parents[2] / "shared" / "documents"
"""One folder a class, `classes.yaml` and `questions.jsonl`; where it is missing, drawn documents stand in for it."""
OTHERS: Final = 3
"""Of the real documents that nothing is asked about, one in so many is read."""
DRAWN: Final = 24
OURS, RAPIDOCR, TESSERACT = "ours", "RapidOCR", "Tesseract"

Read = Callable[[Path], Page]


@dataclass(frozen=True, slots=True)
class Case:
    """A picture of one page, what it is, and what is asked about it."""

    file: Path
    truth: str
    questions: tuple[KnownQuestion, ...] = ()


def against_others(folder: Path) -> dict[str, Any]:
    """Of each reader: processor time a page, and how well documents are classified and questions answered from what
    it reads, by our classifier and our answer finder.
    """
    cases = _real() if REAL.is_dir() else _drawn(folder)
    follow = _Following(REAL / "classes.yaml" if REAL.is_dir() else CLASS_SETS / "intake.yaml")
    figures: dict[str, Any] = {
        "pages": len(cases),
        "of": "real documents" if REAL.is_dir() else "drawn documents",
        "questions": sum(len(case.questions) for case in cases),
    }
    with _ours() as ours:
        readers: dict[str, Read] = {OURS: ours, RAPIDOCR: _rapidocr()}
        if shutil.which("tesseract"):
            readers[TESSERACT] = _tesseract
        else:
            figures[TESSERACT] = "missing: apt install tesseract-ocr"
        for read in readers.values():
            read(cases[0].file)
        spent: dict[str, list[float]] = {name: [] for name in readers}
        decided: dict[str, list[Judged]] = {name: [] for name in readers}
        answered: dict[str, list[Answered]] = {name: [] for name in readers}
        for case in cases:
            for name, read in readers.items():
                before = _processor_seconds()
                page = read(case.file)
                spent[name].append(_processor_seconds() - before)
                decision, answers = follow(case, page)
                decided[name].append(Judged(case.file.name, case.truth, decision, spent[name][-1]))
                answered[name] += answers
    for name in readers:
        ratios = [mine / other for mine, other in zip(spent[OURS], spent[name], strict=True)]
        report, answers_report = evaluate(decided[name], follow.names), evaluate_answers(answered[name])
        figures |= {
            f"{name}: processor seconds a page": statistics.median(spent[name]),
            f"{name}: ours to it": statistics.median(ratios),
            f"{name}: ours to it, all pages together": sum(spent[OURS]) / sum(spent[name]),
            f"{name}: classified right": report.accuracy,
            f"{name}: macro accuracy": report.macro_accuracy,
            f"{name}: answered right": answers_report.exact_match,
            f"{name}: not found, F1": answers_report.not_found_f1,
        }
    return figures


def text_layers(folder: Path) -> dict[str, Any]:
    """Wall-clock seconds for a PDF with a text layer, through a reading process of its own."""
    limits = Documents(roots=(str(folder),))
    reader = Reader(Reading(processes=1), limits)
    try:
        seconds = []
        for seed, name in enumerate(CLASSES):
            path = folder / f"{name}.pdf"
            path.write_bytes(render(name, seed).pdf)
            document = fetch(DocumentReference(uri=path.as_uri()), limits)
            reader.read(document, "all")
            start = time.perf_counter()
            read = reader.read(document, "all")
            if all(page.source == "text_layer" for page in read.pages):
                seconds.append(time.perf_counter() - start)
    finally:
        reader.close()
    return {
        "documents": len(CLASSES),
        "text_layer_trusted": len(seconds),
        "median_seconds": statistics.median(seconds),
        "worst_seconds": max(seconds),
    }


def _real() -> list[Case]:
    """All pictures that something is asked about, and some of the others whose class the set names."""
    asked: dict[str, list[KnownQuestion]] = {}
    for known in read_questions(REAL / "questions.jsonl"):
        asked.setdefault(known.file, []).append(known)
    names = {each.name for each in ClassSet.from_yaml(REAL / "classes.yaml").classes}
    cases, passed = [], 0
    for truth, path in files_in(REAL):
        questions = tuple(asked.get(str(path.relative_to(REAL)), ()))
        if path.suffix == ".pdf" or not (questions or truth in names):
            continue
        passed += not questions
        if questions or passed % OTHERS == 0:
            cases.append(Case(path, truth, questions))
    return cases


def _drawn(folder: Path) -> list[Case]:
    """Worn scans, with questions whose answers are known."""
    cases = []
    for seed in range(DRAWN):
        drawn = rendered(seed)
        path = folder / f"{seed}.jpg"
        wear.scanned(render(drawn.kind, seed), seed).images[0].convert("RGB").save(path, quality=85)
        questions = tuple(
            KnownQuestion(
                file=path.name,
                question=asked.question,
                answers=() if asked.answer is None else (" ".join(asked.answer.split()),),
            )
            for asked in drawn.questions
            if asked.page <= 1
        )
        cases.append(Case(path, drawn.kind, questions))
    return cases


class _Following:
    """What comes after reading, the same for all readers."""

    def __init__(self, classes: Path) -> None:
        settings, class_set = Settings(), ClassSet.from_yaml(classes)
        self._backend = make_backend(settings.model)
        self._backend.load("cpu")
        self._classifier = Classifier(self._backend.zero_shot(class_set, self._backend.encode_texts))
        self._answerer = self._backend.answerer(settings.asking)
        self.names = self._classifier.names

    def __call__(self, case: Case, page: Page) -> tuple[Decision, list[Answered]]:
        features = None
        if not page.is_blank:
            (vectors,) = self._backend.encode_documents([self._backend.prepare(page)])
            features = features_of(page, vectors)
        decision = self._classifier.decide([(1, features)], Thresholds())
        if not case.questions:
            return decision, []
        inquiry = Inquiry((page,), 1, lambda: DocumentType.of(decision))
        texts = [known.question for known in case.questions]
        answers = answer_questions(self._answerer, inquiry, texts, directly(self._answerer))
        return decision, [Answered(*pair, 0.0) for pair in zip(case.questions, answers, strict=True)]


@contextmanager
def _ours() -> Iterator[Read]:
    """As a node reads: in a reading process, with what that does for its memory."""
    process = ReadingProcess(Reading(), Documents())
    try:
        yield lambda file: process.read(Document.of(file.read_bytes()), 1)
    finally:
        process.close()


def _rapidocr() -> Read:
    """As it comes, but for its threads."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )

    def read(file: Path) -> Page:
        found: Any = engine(str(file))
        if found.boxes is None:
            return Page(1, 1, 1, "blank", ())
        height, width = found.img.shape[:2]
        boxes = [(*quad.min(axis=0).tolist(), *quad.max(axis=0).tolist()) for quad in found.boxes]
        return _page(list(map(Line, found.txts, boxes, found.scores)), (width, height))

    return read


def _tesseract(file: Path) -> Page:
    """As it comes, but for its threads."""
    words = subprocess.run(  # noqa: S603 - a file of ours
        ["tesseract", str(file), "-", "tsv"],  # noqa: S607 - as the machine has it
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | SINGLE,
    ).stdout
    rows = list(csv.DictReader(io.StringIO(words), delimiter="\t", quoting=csv.QUOTE_NONE))
    whole = next(row for row in rows if row["level"] == "1")
    return _page(list(_lines(rows)), (int(whole["width"]), int(whole["height"])))


def _lines(rows: list[dict[str, str]]) -> Iterator[Line]:
    """Lines of Tesseract's words."""
    words = [row for row in rows if row["level"] == "5" and row["text"].strip()]
    for _, group in groupby(words, lambda row: (row["block_num"], row["par_num"], row["line_num"])):
        line = list(group)
        sides = [[int(row[side]) for side in ("left", "top", "width", "height")] for row in line]
        box = (
            float(min(left for left, *_ in sides)),
            float(min(top for _, top, *_ in sides)),
            float(max(left + width for left, _, width, _ in sides)),
            float(max(top + height for _, top, _, height in sides)),
        )
        confidence = statistics.fmean(float(row["conf"]) for row in line) / 100
        yield Line(" ".join(row["text"] for row in line), box, confidence)


def _page(lines: list[Line], size: tuple[int, int]) -> Page:
    return Page(1, *size, "ocr" if lines else "blank", tuple(in_reading_order(lines)))


def _processor_seconds() -> float:
    """Of this process, of those that it runs, and of those that it has run."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    running = (child.cpu_times() for child in psutil.Process().children())
    return sum(each.ru_utime + each.ru_stime for each in spent) + sum(each.user + each.system for each in running)
