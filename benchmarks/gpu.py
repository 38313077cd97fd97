"""What one GPU makes of InternVL3-1B: in a bare loop, and behind the queue and the database.

The model has the published one's dimensions and weights of chance, so nothing is downloaded: what it says is
nonsense, what it costs is not. `--tiny` runs all of it on a CPU with a model of no size, to see that it works.
"""

import argparse
import gc
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from benchmarks.answering import QUESTIONS
from core.answer import DocumentType, Inquiry
from core.backends import Backend, make_backend
from core.backends.internvl import generation
from core.backends.internvl.checkpoint import IMAGE, MARKS, Checkpoint
from core.backends.internvl.likelihood import PROMPT
from core.backends.pretrained import go_offline
from core.class_set import ClassSet
from core.contract import ClassifyManyResult, ClassifyResult, DocumentReference, Handle, IntakeClient
from core.contract.classify import MANY_LIMIT
from core.device import available
from core.documents import fetch
from core.errors import ModelFailure
from core.page import Page
from core.picture import Pixels
from core.prompts import PROMPTS, prompts_of
from core.reading import Reader
from core.settings import PROJECT, Settings
from core.understanding import understand
from samples import CLASSES, file_format, render, wear
from worker.stack import CLASSES as CLASS_SETS
from worker.stack import Stack

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import InternVLConfig

    from core.backends.internvl.page import PreparedPage

Figures = dict[str, Any]
Seen = tuple[Page, Pixels]

SCORED: Final = 16
"""Classes whose likelihoods are weighed against one forward pass."""
ANSWERS: Final = (8, 64)
"""Tokens: a usual answer, and the longest. Weights of chance never come to an end by themselves."""
FEWEST: Final = 20
"""Documents: two a tenth."""
LONGEST: Final = 80.0
"""Seconds after which nothing more is sent to a queue: a slow machine does fewer documents."""
PATIENCE: Final = 300
"""Seconds that a result may take."""
GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Size:
    """A model's dimensions in the words of transformers, and how much is measured with it.

    `cases` of answers are numbers of questions, and of documents that they are about.
    """

    device: str
    vision: Mapping[str, Any]
    language: Mapping[str, Any]
    sentences: Mapping[str, Any]
    vocabulary: int
    tokens_of_tile: int
    sheets: int
    batches: tuple[int, ...]
    cases: tuple[tuple[int, int], ...]
    rounds: int
    documents: int
    node: Mapping[str, Any]


FULL: Final = Size(
    device="cuda",
    vision={
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "attention_bias": True,
        "image_size": 448,
        "patch_size": 14,
    },
    language={
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
    },
    sentences={"vocab_size": 30527, "max_position_embeddings": 514},
    vocabulary=151_674,
    tokens_of_tile=256,
    sheets=16,
    batches=(1, 8, 16, 32, 64),
    cases=((1, 1), (8, 1), (32, 1), (8, 8), (32, 8), (32, 32)),
    rounds=3,
    documents=5000,
    node={},
)
"""InternVL3-1B, which is InternViT-300M before Qwen2.5-0.5B, and all-mpnet-base-v2."""
TINY: Final = Size(
    device="cpu",
    vision={
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 7,
    },
    language={
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    },
    sentences={
        "vocab_size": 4096,
        "max_position_embeddings": 130,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
    vocabulary=4096,
    tokens_of_tile=4,
    sheets=2,
    batches=(1, 2, 4),
    cases=((1, 1), (4, 1), (4, 2)),
    rounds=1,
    documents=24,
    node={"reading": {"processes": 1}, "node": {"concurrency": 4}},
)


def main() -> None:
    """Measure, print a table, and keep the figures, which are written anew after each part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a model of no size on a CPU")
    parser.add_argument("--documents", type=int, help="that go through the queue (default: 5000, tiny 24)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="that the figures are written to")
    words = parser.parse_args()
    size = TINY if words.tiny else FULL
    documents = words.documents or size.documents
    if documents < FEWEST:
        parser.error(f"--documents {documents}: at least {FEWEST}, or there is nothing to compare")
    try:
        available(size.device)
    except ModelFailure as error:
        parser.error(str(error))
    console = Console(highlight=False)
    results: dict[str, Figures] = {}
    start = time.perf_counter()

    def keep(title: str, figures: Figures) -> None:
        console.print(f"[dim]{time.perf_counter() - start:.0f} s: measured {title[0].lower()}{title[1:]}[/]")
        results[title] = figures
        if words.json is not None:
            words.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory(prefix="docintake-gpu-") as name:
        folder = Path(name)
        # A server that root starts runs as nobody, who must come this far.
        folder.chmod(0o755)
        console.print("[dim]Making the model and the pages[/]")
        config = save(size, folder)
        sheets = sheets_of(size)
        for part in inside(size, folder, config, sheets):
            keep(*part)
        # The node is to have the GPU to itself.
        _free()
        best = {
            way: max(value for name, value in results["Bare loop"].items() if name.startswith(way))
            for way in ("encode", "classify")
        }
        for part in through(config, sheets, documents, best, console.print):
            keep(*part)
    keep("All of it", {"seconds": time.perf_counter() - start})
    table = Table("benchmark", "figure", "value", box=None, header_style="bold")
    for title, figures in results.items():
        for figure, value in figures.items():
            table.add_row(title, figure.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
    console.print(table)


def save(size: Size, folder: Path) -> Path:
    """Write both checkpoints, and the settings that name them: those of configs/gpu.yaml otherwise. Their file."""
    go_offline()
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import InternVLForConditionalGeneration, MPNetConfig, MPNetModel
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    torch.manual_seed(7)
    weights, texts = folder / "internvl", folder / "mpnet"
    tokenizer = _tokenizer(["<|endoftext|>", *MARKS])
    _save_tokenizer(tokenizer, weights, pad_token="<|endoftext|>", eos_token="<|im_end|>")  # noqa: S106 - no passwords
    side = size.vision["image_size"]
    GotOcr2ImageProcessorPil(
        size={"height": side, "width": side},
        crop_to_patches=True,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(weights)
    config = config_of(size, image=tokenizer.token_to_id(IMAGE), end=tokenizer.token_to_id("<|im_end|>"))
    InternVLForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(weights)

    # Positions are counted from the number of <pad>.
    tokenizer = _tokenizer(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    _save_tokenizer(tokenizer, texts, pad_token="<pad>", unk_token="<unk>")  # noqa: S106 - no passwords
    MPNetModel(MPNetConfig(**size.sentences), add_pooling_layer=False).save_pretrained(texts)

    settings = yaml.safe_load((PROJECT / "configs" / "gpu.yaml").read_text(encoding="utf-8"))
    settings |= {"data_dir": str(folder / "data"), "documents": {"roots": [str(folder)]}, **size.node}
    settings["model"] |= {"weights": str(weights), "text_weights": str(texts), "device": size.device}
    settings["node"] = {**settings["node"], "metrics_port": _free_port()}
    file = folder / "gpu.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def config_of(size: Size, *, image: int, end: int) -> "InternVLConfig":
    """The configuration of an InternVL of that size; `image` and `end` are tokens."""
    from transformers import InternVLConfig, InternVLVisionConfig, Qwen2Config

    return InternVLConfig(
        vision_config=InternVLVisionConfig(**size.vision),
        text_config=Qwen2Config(**size.language, vocab_size=size.vocabulary, eos_token_id=end),
        image_token_id=image,
        image_seq_length=size.tokens_of_tile,
        tie_word_embeddings=False,
    )


def _tokenizer(special: list[str]) -> "Tokenizer":
    """Pairs of bytes, joined until most words that are said here are a token each, as they are of a grown-up one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    classes = ClassSet.from_yaml(CLASS_SETS / "intake.yaml").classes
    told = [*QUESTIONS, *PROMPTS.values(), PROMPT, "user assistant Page 1 of 1: something else"]
    told += [text for item in classes for text in (item.words, f" {item.words}", *prompts_of(item))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4096, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(told, trainer)
    return tokenizer


def _save_tokenizer(tokenizer: "Tokenizer", folder: Path, **names: str) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="right", **names).save_pretrained(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def sheets_of(size: Size) -> list[bytes]:
    """Scans of sample documents as JPEGs, a class each."""
    return [
        file_format.jpeg(wear.scanned(render(name, seed), seed)) for seed, name in enumerate(CLASSES[: size.sheets])
    ]


def copies(sheets: Sequence[bytes], count: int, folder: Path) -> list[str]:
    """URIs of so many files, the sheets in turn, no two alike in any folder: each has a comment of its own (COM, in
    ITU-T T.81).
    """
    folder.mkdir()
    uris = []
    for number, sheet in enumerate(islice(cycle(sheets), count)):
        comment = f"{folder.name} {number}".encode()
        file = folder / f"{number}.jpg"
        file.write_bytes(sheet[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + sheet[2:])
        uris.append(file.as_uri())
    return uris


def inside(size: Size, folder: Path, config: Path, sheets: Sequence[bytes]) -> Iterator[tuple[str, Figures]]:
    """What the backend does in this process, part by part: no queue, no database."""
    settings = Settings.load(config)
    start = time.perf_counter()
    backend = make_backend(settings.model)
    backend.load(settings.model.device)
    loading = time.perf_counter() - start
    seen, reading = _read(settings, copies(sheets, 4 * max(size.batches), folder / "looked-at"))
    pages = [backend.prepare(*each) for each in seen[: len(sheets)]]
    yield "Machine", _machine(backend, pages) | {"loading_the_model_seconds": loading}
    yield "Before the device", reading | _preparing(backend, seen)
    yield "Bare loop", _bare(size, backend, pages)
    yield f"Likelihood of {SCORED} classes", _likelihood(size, settings, pages)
    yield "Answers", _answers(size, backend, settings, seen)


def _read(settings: Settings, uris: Sequence[str]) -> tuple[list[Seen], Figures]:
    """Pages with their pixels as a node gets them, and how fast its reading processes are."""
    documents = [fetch(DocumentReference(uri=uri), settings.documents) for uri in uris]
    reader = Reader(settings.reading, settings.documents)
    processes = settings.reading.processes or len(os.sched_getaffinity(0))
    try:
        with ThreadPoolExecutor(2 * processes) as pool:
            # Each process takes seconds to start.
            list(pool.map(lambda document: reader.glance(document, "first"), documents[:processes]))
            start = time.perf_counter()
            looks = list(pool.map(lambda document: reader.glance(document, "first"), documents))
            seconds = time.perf_counter() - start
    finally:
        reader.close()
    found = [(read.pages[0], pixels[0]) for read, pixels in looks]
    return found, {"reading_processes": processes, "decoding_images_a_second": len(found) / seconds}


def _preparing(backend: Backend, seen: Sequence[Seen]) -> Figures:
    """Images a second that are cut into tiles, by threads at it."""
    figures: Figures = {}
    for threads in (1, 4, 16):
        some = seen[: 16 * threads]
        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(lambda each: backend.prepare(*each), some))
            figures[f"tiling_images_a_second_in_{threads}_threads"] = len(some) / (time.perf_counter() - start)
    return figures


def _machine(backend: Backend, pages: "Sequence[PreparedPage]") -> Figures:
    import torch
    import transformers

    classify = _classifying(backend)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "gpu": gpu,
        "cores": len(os.sched_getaffinity(0)),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "transformers": transformers.__version__,
        **backend.about(),
        "attention_of_the_vision_tower": _attention(lambda: backend.encode_documents(_anew(pages[:1]))),
        "attention_of_classifying": _attention(lambda: classify(_anew(pages[:1]))),
        "mean_tiles_a_page": statistics.mean(backend.weight(page) for page in pages),
    }


def _attention(run: Callable[[], object]) -> str:
    """The kernels of torch's scaled dot product attention that it calls, and how often."""
    from torch.profiler import ProfilerActivity, profile

    run()
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        run()
    sign = "aten::_scaled_dot_product_"
    called = {event.key: event.count for event in watched.key_averages() if event.key.startswith(sign)}
    return ", ".join(f"{count} {name.removeprefix(sign)}" for name, count in sorted(called.items()))


def _classifying(backend: Backend) -> "Callable[[Sequence[PreparedPage]], object]":
    """What the device does to classify pages among the classes that a node has by default."""
    classes = backend.zero_shot(ClassSet.from_yaml(CLASS_SETS / "intake.yaml"), backend.encode_texts)

    def classify(batch: "Sequence[PreparedPage]") -> object:
        return backend.encode_documents(batch), [encode(batch) for encode in classes.encoders.values()]

    return classify


def _bare(size: Size, backend: Backend, pages: "Sequence[PreparedPage]") -> Figures:
    """Images a second by batch, of prepared pages: as vectors, and as those with all that classifying needs."""
    images = list(islice(cycle(pages), max(size.batches)))
    figures: Figures = {}
    for way, run in (("encode", backend.encode_documents), ("classify", _classifying(backend))):
        for batch in size.batches:

            def loop(run: Callable[[Any], object] = run, batch: int = batch) -> None:
                for start in range(0, len(images), batch):
                    run(_anew(images[start : start + batch]))

            _reset_peak()
            figures[f"{way}_images_a_second_in_batches_of_{batch}"] = len(images) / _seconds(loop, size.rounds)
            if (peak := _peak()) is not None:
                figures[f"peak_gib_to_{way}_batches_of_{batch}"] = peak
    return figures


def _likelihood(size: Size, settings: Settings, pages: "Sequence[PreparedPage]") -> Figures:
    """How many times as long it takes to score classes as transformers' own pass over image and prompt."""
    import torch

    from core.backends.internvl.chat import Chat
    from core.backends.internvl.likelihood import Likelihood
    from core.backends.internvl.tower import Tower

    model = settings.model
    checkpoint = Checkpoint.load(str(model.weights), model.device, model.dtype)
    chat = Chat(checkpoint, Tower(checkpoint.model, compiled=False))
    names = [item.words for item in ClassSet.from_yaml(CLASS_SETS / "intake.yaml").classes[:SCORED]]
    score = Likelihood(chat, names, blank=None)
    # Of most tiles, as whole pages have.
    page = max(pages, key=lambda page: len(page.tiles))
    prompt = chat.ids(f"{chat.opening}\n{chat.shown(len(page.tiles))}{chat.asked(PROMPT)}")
    figures: Figures = {
        "tokens_of_image_and_prompt": len(prompt),
        "tokens_of_names": sum(len(chat.ids(name)) + 1 for name in names),
    }
    for batch in (1, 8):

        def forward(batch: int = batch) -> object:
            with torch.inference_mode():
                device = checkpoint.model.device
                pixels = torch.cat([page.tiles.pixels.to(device, non_blocking=True)] * batch)
                ids = torch.tensor([prompt] * batch, device=device)
                return checkpoint.model(input_ids=ids, pixel_values=pixels, logits_to_keep=1).logits.float().cpu()

        def scoring(batch: int = batch) -> object:
            return score(_anew([page] * batch))

        # In turn, so that a GPU that slows down does so for both.
        rounds = [(_seconds(forward, 1), _seconds(scoring, 1)) for _ in range(4 * size.rounds)]
        figures[f"forward_ms_of_{batch}"] = 1000 * statistics.median(alone for alone, _ in rounds)
        figures[f"scoring_ms_of_{batch}"] = 1000 * statistics.median(all_of_it for _, all_of_it in rounds)
        figures[f"scoring_to_forward_of_{batch}"] = statistics.median(
            all_of_it / alone for alone, all_of_it in rounds
        )
    return figures


def _answers(size: Size, backend: Backend, settings: Settings, seen: Sequence[Seen]) -> Figures:
    """Questions a second, of documents of a page each that are seen anew each time."""
    answerer = backend.answerer(settings.asking)
    whole = [each for each in seen if max(each[1].shape) > 1000]
    prepared = [
        answerer.prepare(Inquiry((page,), 1, lambda: DocumentType(None, 0.0), (pixels,)))
        for page, pixels in islice(cycle(whole), max(documents for _, documents in size.cases))
    ]
    asked = [understand(text) for text in islice(cycle(QUESTIONS), max(questions for questions, _ in size.cases))]
    figures: Figures = {"mean_tiles_a_page": statistics.mean(len(document.tiles) for document in prepared)}
    said: list[generation.Generated] = []
    for tokens in ANSWERS:
        for questions, documents in size.cases:
            batch = list(zip(islice(cycle(prepared[:documents]), questions), asked, strict=False))

            def run(batch: Any = batch) -> None:
                said.extend(answerer.run(batch))
                for document, _ in batch:
                    document.prefix = None

            _reset_peak()
            with mock.patch.object(generation, "LONGEST_ANSWER", tokens):
                rate = questions / _seconds(run, min(2, size.rounds))
            told = f"{questions}_about_{documents}_in_{tokens}_tokens"
            figures[f"questions_a_second,_{told}"] = rate
            if (peak := _peak()) is not None:
                figures[f"peak_gib,_{told}"] = peak
    return figures | {"answers_that_ended_before": sum(not generated.cut for generated in said)}


def _anew(pages: "Iterable[PreparedPage]") -> "list[PreparedPage]":
    """The pages as if nobody had seen them yet: what the tower saw stays with a page's tiles."""
    return [replace(page, tiles=replace(page.tiles, sight=None)) for page in pages]


def _seconds(run: Callable[[], object], rounds: int) -> float:
    """The median of so many rounds, after one to warm up; the GPU is waited for."""
    import torch

    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _reset_peak() -> None:
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> float | None:
    """GiB of GPU memory that tensors took at most since `_reset_peak`; None without a GPU."""
    import torch

    return torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_initialized() else None


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def through(
    config: Path,
    sheets: Sequence[bytes],
    documents: int,
    best: Mapping[str, float],
    say: Callable[[str], None],
) -> Iterator[tuple[str, Figures]]:
    """New image files through Redis, PostgreSQL and a node that is a process of its own: half of them a message each,
    half of them by `classify_many`; then what the node's memory did over all of them.

    `best` are images a second of the bare loop.
    """
    settings = Settings.load(config)
    uris = copies(sheets, documents, config.parent / "inbox")
    first = copies(sheets, 4 * settings.node.concurrency, config.parent / "first")
    before = _gpu_bytes()
    with Stack(settings, config, say=say) as stack:
        broker = stack.settings.broker.url
        assert broker is not None  # noqa: S101 - the stack fills it in
        client = IntakeClient(broker.get_secret_value())
        node = _Node(settings, before)
        # Both ways, so that all threads there will be are there before memory is looked at.
        for _ in _many(client, first[::2]):
            pass
        for _ in _one_by_one(client, first[1::2], len(first)):
            pass
        memory = _Memory(node, documents)
        half = documents // 2
        for way, batches in (
            ("classify", _one_by_one(client, uris[:half], 4 * settings.node.concurrency)),
            ("classify_many", _many(client, uris[half:])),
        ):
            yield f"Through the queue by {way}", _driven(node, memory, batches, best)
        yield "Memory of the node", memory.figures()
        # Celery's results take leave of Redis when they are collected: while it is still there.
        gc.collect()


def _one_by_one(client: IntakeClient, uris: Sequence[str], most: int) -> Iterator[list[ClassifyResult]]:
    for result in _in_flight([partial(client.classify, uri) for uri in uris], most):
        yield [result]


def _many(client: IntakeClient, uris: Sequence[str]) -> Iterator[list[ClassifyResult]]:
    messages = [uris[start : start + MANY_LIMIT] for start in range(0, len(uris), MANY_LIMIT)]
    for result in _in_flight([partial(_send_many, client, message) for message in messages], 2):
        for outcome in result.outcomes:
            if outcome.error is not None:
                raise RuntimeError(f"{outcome.error.code}: {outcome.error.message}")
        yield [outcome.result for outcome in result.outcomes if outcome.result is not None]


def _send_many(client: IntakeClient, uris: Sequence[str]) -> Handle[ClassifyManyResult]:
    (handle,) = client.classify_many(uris)
    return handle


def _in_flight(sends: Iterable[Callable[[], Handle[Any]]], most: int) -> Iterator[Any]:
    """Results in the order in which they were sent, so many of them underway at a time, until time is up."""
    deadline = time.perf_counter() + LONGEST
    waiting: deque[Handle[Any]] = deque()
    for send in sends:
        if time.perf_counter() > deadline:
            break
        waiting.append(send())
        if len(waiting) == most:
            yield waiting.popleft().get(timeout=PATIENCE)
    while waiting:
        yield waiting.popleft().get(timeout=PATIENCE)


def _driven(
    node: "_Node", memory: "_Memory", batches: Iterator[list[ClassifyResult]], best: Mapping[str, float]
) -> Figures:
    spent, device = node.processor_seconds(), node.device()
    done, cached = 0, 0
    stages: dict[str, float] = {}
    start = time.perf_counter()
    for results in batches:
        done += len(results)
        memory.note(len(results))
        for result in results:
            cached += result.cached
            for stage, seconds in result.seconds.items():
                stages[stage] = stages.get(stage, 0.0) + seconds
    elapsed = time.perf_counter() - start
    if cached:
        raise RuntimeError(f"{cached} documents were known already, so nothing was measured")
    cores = {who: (now - spent[who]) / elapsed for who, now in node.processor_seconds().items()}
    device = {name: now - device[name] for name, now in node.device().items()}
    busy = device["seconds"] / elapsed
    return {
        "documents": done,
        "images_a_second": done / elapsed,
        **{f"share_of_the_bare_loop's_best_to_{way}": done / elapsed / rate for way, rate in best.items()},
        "limit": _limit(busy, cores),
        "share_of_time_that_the_device_was_busy": busy,
        "mean_batch_on_the_device": device["items"] / max(1.0, device["batches"]),
        "batches_that_did_not_fit_into_memory": int(device["out_of_memory"]),
        **{f"cores_busy_with_{who}": count for who, count in cores.items()},
        **{f"mean_ms_in_{stage}": 1000 * seconds / done for stage, seconds in sorted(stages.items())},
    }


def _limit(busy: float, cores: Mapping[str, float]) -> str:
    """What kept it from going faster, as far as that can be seen from outside. A node's threads share an interpreter,
    so it may be the limit where it fills but a core.
    """
    if busy > 0.9:
        return "the device"
    if sum(cores.values()) > 0.9 * len(os.sched_getaffinity(0)):
        return "all cores"
    if cores["the_node"] > 0.9:
        return "the node's own process"
    return "neither: it waits for servers or sender"


class _Node:
    """The node's process, looked at from outside."""

    def __init__(self, settings: Settings, gpu_before: int | None) -> None:
        ready = str(settings.data_dir.resolve() / "node.ready")
        own = psutil.Process()
        self._process = next(child for child in own.children() if ready in child.cmdline())
        self._url = f"http://127.0.0.1:{settings.node.metrics_port}/metrics"
        self._gpu_before = gpu_before

    def processor_seconds(self) -> dict[str, float]:
        readers = self._process.children(recursive=True)
        groups = {"the_node": [self._process], "its_reading_processes": readers}
        known = {self._process, *readers}
        own = psutil.Process()
        groups["servers_and_sender"] = [own, *(each for each in own.children(recursive=True) if each not in known)]
        return {who: sum(map(_processor_seconds, group)) for who, group in groups.items()}

    def memory(self) -> dict[str, float]:
        """GiB. Of the GPU all that came since the node was started: it may not be told by process."""
        readers = sum(child.memory_info().rss for child in self._process.children(recursive=True))
        found = {"node_rss_gib": self._process.memory_info().rss / GIB, "reading_processes_rss_gib": readers / GIB}
        used = _gpu_bytes()
        return found if used is None else {**found, "gpu_gib": (used - (self._gpu_before or 0)) / GIB}

    def device(self) -> dict[str, float]:
        """What its batcher counted, of all queues together."""
        with urllib.request.urlopen(self._url, timeout=PATIENCE) as answer:  # noqa: S310 - our own
            families = list(text_string_to_metric_families(answer.read().decode()))
        sums: dict[str, float] = {}
        for family in families:
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return {
            "seconds": sums.get("docintake_device_seconds_sum", 0.0),
            "batches": sums.get("docintake_device_batch_items_count", 0.0),
            "items": sums.get("docintake_device_batch_items_sum", 0.0),
            "out_of_memory": sums.get("docintake_device_out_of_memory_total", 0.0),
        }


class _Memory:
    """The node's memory after each tenth of the documents."""

    def __init__(self, node: _Node, documents: int) -> None:
        self._node = node
        self._documents = documents
        self._done = 0
        self._noted: dict[int, dict[str, float]] = {}

    def note(self, done: int) -> None:
        before = 10 * self._done // self._documents
        self._done += done
        if (now := 10 * self._done // self._documents) > before or not self._noted:
            self._noted[10 * now] = self._node.memory()

    def figures(self) -> Figures:
        """Those at 10, 50 and 100 % (or the nearest there are), what came between the first and the last, and all."""
        figures: Figures = {"documents": self._done}
        shares = sorted(self._noted)
        chosen = [min(shares, key=lambda share: abs(share - wanted)) for wanted in (10, 50, 100)]
        for share in chosen:
            figures |= {f"{name}_at_{share}_%": value for name, value in self._noted[share].items()}
        first, last = self._noted[chosen[0]], self._noted[chosen[-1]]
        for name in last:
            figures[f"{name}_growth_from_{chosen[0]}_%"] = last[name] - first[name]
            figures[f"{name}_by_tenth"] = " ".join(f"{self._noted[share][name]:.2f}" for share in shares)
        return figures


def _processor_seconds(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


def _gpu_bytes() -> int | None:
    """In use on the GPU, by whomever; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return total - free


if __name__ == "__main__":
    main()
