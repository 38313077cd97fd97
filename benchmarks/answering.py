"""What a question costs: the first one about a page, ten at once, and one that was asked before."""

import statistics
import time
from pathlib import Path
from typing import Any

from core.answer import DocumentType, Inquiry, answer_questions, directly
from core.backends import make_backend
from core.contract import DocumentReference
from core.documents import Document, fetch
from core.reading import Reader
from core.settings import Settings
from samples import file_format, render, wear

QUESTIONS = (
    "What is the invoice number?",
    "What is the invoice date?",
    "What is the total amount?",
    "When is it due?",
    "Who issued the invoice?",
    "Who is the customer?",
    "How much tax is charged?",
    "What is the IBAN?",
    "What is the address of the customer?",
    "How many items are listed?",
)
DOCUMENTS = 6


def questions(folder: Path) -> dict[str, Any]:
    """Seconds from a file to its answers, reading included: medians over invoices as scans and as PDFs."""
    settings = Settings.load()
    limits = settings.documents.model_copy(update={"roots": (str(folder),)})
    backend = make_backend(settings.model)
    backend.load(settings.model.device)
    answerer = backend.answerer(settings.asking)
    reader = Reader(settings.reading, limits)

    def ask(document: Document, texts: tuple[str, ...]) -> float:
        start = time.perf_counter()
        read = reader.read(document, "first")
        inquiry = Inquiry(read.pages, read.page_count, lambda: DocumentType("invoice", 1.0))
        answer_questions(answerer, inquiry, texts, directly(answerer))
        return time.perf_counter() - start

    figures: dict[str, Any] = {}
    try:
        for kind in ("scan", "text_pdf"):
            ones, tens = [], []
            for seed in range(DOCUMENTS):
                sample = render("invoice", seed)
                path = folder / f"{kind}-{seed}"
                path.write_bytes(file_format.png(wear.scanned(sample, seed)) if kind == "scan" else sample.pdf)
                document = fetch(DocumentReference(uri=path.as_uri()), limits)
                ask(document, QUESTIONS[:1])
                ones.append(ask(document, QUESTIONS[:1]))
                tens.append(ask(document, QUESTIONS))
            figures[f"{kind}_one_question_ms"] = 1000 * statistics.median(ones)
            figures[f"{kind}_ten_questions_ms"] = 1000 * statistics.median(tens)
            figures[f"{kind}_ten_to_one"] = statistics.median(ten / one for ten, one in zip(tens, ones, strict=True))
    finally:
        reader.close()
    return figures
