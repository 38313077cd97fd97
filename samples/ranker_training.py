"""Train the embedded reader's ranker on documents whose answers are known: `python -m samples.ranker_training`.

The same seed, number of documents and machine give the same weights. What each run gave stands in
docs/decisions.md; the weights that are served stand beside `core/extraction/ranker.py`.
"""

import argparse
import multiprocessing
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn

from core.backends import Vectors, make_backend
from core.extraction.candidate import Candidate
from core.extraction.layout import Layout
from core.extraction.ranker import FURTHEST, WEIGHTS
from core.extraction.sheet import Sheet, sheet_of
from core.extraction.signals import SIGNALS, signals_of
from core.extraction.signals import Asked as Signalled
from core.field import LEXICON
from core.settings import Model
from core.understanding import understand
from samples.composed import Asked, Composition, compose
from samples.rendered import rendered

KEPT: Final = 64
"""Candidates of a question that training looks at: the right ones, the most alike, and others by chance."""
BATCH: Final = 64
RENDERED: Final = 7
"""One document in so many is a rendered one."""
UNKNOWN: Final = 0.3
"""Share of questions that are trained as if the lexicon did not know their field."""

Floats = NDArray[np.float32]
console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Example:
    """A question's signals, (candidates, SIGNALS) and (NONE_SIGNALS,), and which candidates are right, if any is."""

    candidates: NDArray[np.float16]
    none: Floats
    right: NDArray[np.bool_]


def document(seed: int) -> Composition:
    """A composed document, or now and then a rendered one."""
    return rendered(seed) if seed % RENDERED == 0 else compose(seed)


def examples(known: Composition, encode: Callable[[Sequence[str]], Vectors], rng: random.Random) -> Iterator[Example]:
    """A document's questions, but for those whose answer is no candidate."""
    sheet = sheet_of(known.pages, LEXICON)
    if not sheet.candidates or not known.questions:
        return
    sheet.encode(encode)
    questions = [understand(asked.question) for asked in known.questions]
    pairs = encode([text for question in questions for text in (question.subject, question.text)])
    pairs = pairs.reshape(len(questions), 2, -1)
    for asked, question, (subject, whole) in zip(known.questions, questions, pairs, strict=True):
        fields = {} if rng.random() < UNKNOWN else LEXICON.fields_asked(question)
        rows, candidates, none = signals_of(sheet, Signalled(question, subject, whole, fields))
        right = _right(sheet, asked)[rows]
        if asked.answer is None or right.any():
            kept = _kept(candidates, right, rng)
            yield Example(candidates[kept].astype(np.float16), none, right[kept])


def _right(sheet: Sheet, known: Asked) -> NDArray[np.bool_]:
    if known.answer is None:
        return np.zeros(len(sheet.candidates), dtype=bool)
    wanted = _plain(known.answer)
    return np.array(
        [
            _plain(candidate.text) == wanted
            and (len(wanted) > 3 or _meets(candidate, sheet.layouts[candidate.layout], known))
            for candidate in sheet.candidates
        ]
    )


def _meets(candidate: Candidate, layout: Layout, known: Asked) -> bool:
    """Whether they stand in the same place."""
    left, top, right, bottom = layout.boxes[candidate.lines[0]]
    return layout.page.number == known.page and bool(
        left < known.box[2] and right > known.box[0] and top < known.box[3] and bottom > known.box[1]
    )


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _kept(candidates: Floats, right: NDArray[np.bool_], rng: random.Random) -> list[int]:
    """The right ones, those that speak most for themselves, and some others."""
    around = candidates[
        :, [SIGNALS.index(name) for name in SIGNALS if name.endswith(("_meaning", "_field", "_words"))]
    ]
    alike = np.argsort(-(around.max(axis=1) + candidates[:, SIGNALS.index("kind")] + rng.random() * 0.1))
    chosen = dict.fromkeys([*np.flatnonzero(right)[: KEPT // 4].tolist(), *alike[: KEPT // 2].tolist()])
    others = [index for index in range(len(candidates)) if index not in chosen and not right[index]]
    chosen.update(dict.fromkeys(rng.sample(others, min(len(others), KEPT - len(chosen)))))
    return list(chosen)


class Network(nn.Module):
    """Scores of candidates, and that there is none, from standardised signals."""

    def __init__(self, examples: Sequence[Example]) -> None:
        super().__init__()
        rows = torch.from_numpy(np.concatenate([item.candidates for item in examples[:4000]]).astype(np.float32))
        none = torch.from_numpy(np.stack([item.none for item in examples]))
        self.candidate = Perceptron(rows, 160)
        self.none = Perceptron(none, 48)

    def forward(self, candidates: Tensor, none: Tensor) -> Tensor:
        """(questions, candidates, SIGNALS) and (questions, NONE_SIGNALS) → (questions, candidates + 1) logits."""
        return torch.cat([self.candidate(candidates)[..., 0], self.none(none)], dim=1)


class Perceptron(nn.Module):
    """Two hidden layers over standardised inputs."""

    def __init__(self, inputs: Tensor, width: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", inputs.mean(dim=0))
        self.register_buffer("scale", inputs.std(dim=0).clamp(min=0.05))
        self.layers = nn.ModuleList(
            [nn.Linear(inputs.shape[1], width), nn.Linear(width, width // 2), nn.Linear(width // 2, 1)]
        )
        self.dropout = nn.Dropout(0.2)

    def forward(self, inputs: Tensor) -> Tensor:
        value = ((inputs - self.mean) / self.scale).clamp(-FURTHEST, FURTHEST)
        for index, layer in enumerate(self.layers):
            value = layer(self.dropout(value.relu()) if index else value)
        return value


def train(training: Sequence[Example], held_out: Sequence[Example], epochs: int, seed: int) -> Network:
    """Cross-entropy over each question's candidates and none; the probability of all right ones together counts."""
    torch.manual_seed(seed)
    network = Network(training)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    batches = -(-len(training) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    order = np.random.default_rng(seed)
    for epoch in range(epochs):
        network.train()
        losses = []
        for chosen in np.array_split(order.permutation(len(training)), batches):
            loss = _loss(network, [training[index] for index in chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        console.print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}; {_figures(network, held_out)}")
    return network


def _loss(network: Network, batch: Sequence[Example]) -> Tensor:
    logits, right = _logits(network, batch)
    return -(logits.log_softmax(dim=1).masked_fill(~right, -torch.inf).logsumexp(dim=1)).mean()


def _logits(network: Network, batch: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Logits and which of them are right, (questions, candidates + 1), the last being that there is no answer."""
    most = max(len(item.candidates) for item in batch)
    inputs = torch.zeros(len(batch), most, len(SIGNALS))
    right = torch.zeros(len(batch), most + 1, dtype=torch.bool)
    absent = torch.ones(len(batch), most + 1, dtype=torch.bool)
    absent[:, -1] = False
    for row, item in enumerate(batch):
        count = len(item.candidates)
        inputs[row, :count] = torch.from_numpy(item.candidates.astype(np.float32))
        right[row, :count] = torch.from_numpy(item.right)
        right[row, -1] = not item.right.any()
        absent[row, :count] = False
    logits = network(inputs, torch.from_numpy(np.stack([item.none for item in batch])))
    return logits.masked_fill(absent, -1e4), right


@torch.no_grad()
def _judge(network: Network, held_out: Sequence[Example]) -> tuple[Tensor, Tensor]:
    network.eval()
    parts = [_logits(network, held_out[start : start + 512]) for start in range(0, len(held_out), 512)]
    most = max(logits.shape[1] for logits, _ in parts)
    # Padded in front, so that the last one stays the last.
    logits = torch.cat([nn.functional.pad(logits, (most - logits.shape[1], 0), value=-1e4) for logits, _ in parts])
    right = torch.cat([nn.functional.pad(right, (most - right.shape[1], 0)) for _, right in parts])
    return logits, right


def _figures(network: Network, held_out: Sequence[Example]) -> str:
    logits, right = _judge(network, held_out)
    best = logits.argmax(dim=1)
    hit = right.gather(1, best[:, None])[:, 0]
    absent, said_absent = right[:, -1], best == logits.shape[1] - 1
    both = (absent & said_absent).sum().item()
    f1 = 2 * both / max(absent.sum().item() + said_absent.sum().item(), 1)
    return f"right {hit[~absent].float().mean():.3f} of the answerable, F1 of not found {f1:.3f}"


def _temperature(network: Network, held_out: Sequence[Example]) -> float:
    """The one that makes the held-out questions most likely."""
    logits, right = _judge(network, held_out)

    def surprise(temperature: float) -> float:
        shares = (logits / temperature).log_softmax(dim=1).masked_fill(~right, -torch.inf)
        return -shares.logsumexp(dim=1).mean().item()

    return float(min(np.arange(0.5, 3.0, 0.05), key=surprise))


def save(network: Network, temperature: float, path: Path) -> None:
    """Write the tensors as `core.extraction.ranker.Ranker` reads them."""
    save_file({**network.state_dict(), "temperature": torch.tensor([temperature])}, path)


_encode: Callable[[Sequence[str]], Vectors]


def _start() -> None:
    global _encode  # noqa: PLW0603 - one a process, as the pool has it
    backend = make_backend(Model(backend="ocr_text"))
    backend.load("cpu")
    torch.set_num_threads(1)
    _encode = backend.encode_texts


def _make(seed: int) -> list[Example]:
    return list(examples(document(seed), _encode, random.Random(f"ranker {seed}")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=6500)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    started = time.perf_counter()
    with multiprocessing.Pool(initializer=_start) as pool:
        seeds = range(options.seed * 1_000_000, options.seed * 1_000_000 + options.documents)
        made = [*track(pool.imap(_make, seeds, 16), "Composing", len(seeds), console=console)]
    held_out = [item for group in made[: len(made) // 10] for item in group]
    training = [item for group in made[len(made) // 10 :] for item in group]
    console.print(
        f"{len(training)} questions to learn from, {len(held_out)} held out, in {time.perf_counter() - started:.0f} s"
    )
    network = train(training, held_out, options.epochs, options.seed)
    temperature = _temperature(network, held_out)
    save(network, temperature, options.output)
    console.print(f"temperature {temperature:.2f}; {options.output}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
