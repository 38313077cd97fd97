"""`docintake models`, as typed, with checkpoints in folders and in a cache of the hub's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_of_chance
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from core.backends.fake import Fake
from core.errors import IntakeError, ModelFailure, RejectedInput

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_of_chance.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache: this machine's own is not looked at."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache: Path, name: str, model_type: str, *shards: str, ref: str = "main") -> Path:
    """A model in the cache, of which the first file of weights was fetched."""
    kept = cache / f"models--{name.replace('/', '--')}"
    snapshot = kept / "snapshots" / "abc"
    for folder in (kept / "blobs", kept / "refs", snapshot):
        folder.mkdir(parents=True)
    (kept / "refs" / ref).write_text("abc")
    (snapshot / "config.json").write_text(json.dumps({"model_type": model_type}))
    (snapshot / shards[0]).write_bytes(b"." * 2_500_000)
    if len(shards) > 1:
        index = {"weight_map": {f"weight.{number}": shard for number, shard in enumerate(shards)}}
        (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    return snapshot


def choose(monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"DOCINTAKE_MODEL__{name.upper()}", str(value))


def refused(result: Any) -> IntakeError:
    assert isinstance(result.exception, IntakeError), result.output
    return result.exception


def test_without_any_checkpoint_the_list_says_what_each_backend_lacks(cli: Cli, cache: Path) -> None:
    result = cli("models", "list")
    assert result.exit_code == 0, result.output
    lines = {line.removeprefix("●").split()[0]: line.rstrip() for line in result.stdout.splitlines() if line}
    assert [name for name, line in lines.items() if line.startswith("●  ")] == ["fake"]
    assert lines["ocr_text"].endswith("ready")
    assert "weights: a CLIP, SigLIP or SigLIP 2" in lines["dual_encoder"]
    assert lines["dual_encoder"].endswith("lacks weights")
    assert f"No checkpoint is at hand. Looked at the folders that the settings name, and {cache}" in result.stdout


def test_the_list_tells_what_the_checkpoints_at_hand_are_for(
    cli: Cli, cache: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, backend="dual_encoder", weights=clip)
    put(cache, "somebody/siglip", "siglip2", "model.safetensors")
    put(cache, "somebody/half", "siglip", "a.safetensors", "b.safetensors")
    put(cache, "OpenGVLab/InternVL3-1B", "internvl_chat", "model.safetensors")
    put(cache, "somebody/bert", "bert", "model.safetensors")
    put(cache, "somebody/pickled", "clip", "pytorch_model.bin")
    other = put(cache, "somebody/older", "clip", "model.safetensors", ref="v1")

    shown = cli("models", "list").stdout
    uses = {line.split()[0]: line.rstrip() for line in shown.splitlines() if line}
    assert uses[str(clip)].endswith("dual_encoder, as model.weights")
    assert uses["somebody/siglip"].split()[1:4] == ["siglip2", "2.5", "MB"]
    assert uses["somebody/siglip"].endswith("dual_encoder, as model.weights")
    assert uses["somebody/half"].endswith("lacks b.safetensors: fetch it again")
    assert uses["OpenGVLab/InternVL3-1B"].endswith("after `docintake models convert`")
    assert uses["somebody/bert"].endswith("no backend")
    assert str(other) in uses
    assert "pickled" not in shown

    told = json.loads(cli("models", "list", "--json").stdout)
    assert told["chosen"]["backend"] == "dual_encoder"
    assert told["cache"] == str(cache)
    (dual_encoder,) = [item for item in told["backends"] if item["name"] == "dual_encoder"]
    assert dual_encoder == {
        "name": "dual_encoder",
        "needs": {"weights": "a CLIP, SigLIP or SigLIP 2"},
        "lacks": [],
    }
    assert told["checkpoints"][0]["name"] == str(clip)
    half = next(item for item in told["checkpoints"] if item["name"] == "somebody/half")
    assert (half["model_type"], half["size"], half["missing"]) == ("siglip", 2_500_000, ["b.safetensors"])


@pytest.mark.parametrize("weights", ["", "nowhere", "somebody/bert"])
def test_chosen_weights_that_are_not_there_or_not_fit_are_named(
    cli: Cli, cache: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    put(cache, "somebody/bert", "bert", "model.safetensors")
    put(cache, "somebody/clip", "clip", "model.safetensors")
    choose(monkeypatch, backend="dual_encoder", **({"weights": weights} if weights else {}))
    told = json.loads(cli("models", "list", "--json").stdout)
    (lacks,) = [item["lacks"] for item in told["backends"] if item["name"] == "dual_encoder"]
    assert lacks == [f"{weights} as model.weights" if weights else "a name in model.weights"]


def test_a_model_that_works_shows_what_it_is_and_takes(cli: Cli, clip: Path) -> None:
    result = cli("models", "check", "--weights", clip)
    assert result.exit_code == 0, result.output
    first, *rows = result.stdout.splitlines()
    assert first == f"✓ dual_encoder with {clip} works."
    shown = {row.split("  ")[0]: row for row in rows}
    assert "cpu" in shown["device"]
    assert "float32" in shown["dtype"]
    assert "sdpa" in shown["attention"]
    assert "GiB for this process" in shown["memory"]
    assert "1 of 12 dimensions for this page, one of 12 for a text" in shown["vectors"]
    assert "dual_encoder-clip-" in shown["fingerprint"]
    for row in ("loaded in", "warm in", "then"):
        assert "s" in shown[row].removeprefix(row)


def test_the_chosen_model_is_checked_where_none_is_given(cli: Cli) -> None:
    told = json.loads(cli("models", "check", "--json").stdout)
    assert told["ok"]
    assert (told["backend"], told["fingerprint"], told["text_dimensions"]) == ("fake", "fake-256", 256)
    assert told["about"] == {"dtype": "float32", "attention": "none", "parameters": "0"}
    assert told["memory"] > 10_000_000
    assert 0 < told["page"] < told["warm_up"] + 1


def test_the_default_backend_works_as_installed(cli: Cli) -> None:
    told = json.loads(cli("models", "check", "--backend", "ocr_text", "--json").stdout)
    assert told["ok"]
    assert told["about"]["parameters"] == "22,565,376"
    assert told["page_shape"][1] == told["text_dimensions"] == 384


def test_a_model_that_does_not_work_ends_with_exit_status_1_and_what_to_do(
    cli: Cli, cache: Path, clip: Path, tmp_path: Path
) -> None:
    put(cache, "somebody/half", "siglip", "a.safetensors", "b.safetensors")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in clip.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["visual_projection.weight"] *= np.nan
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    for words, advice in {
        ("--weights", str(broken)): "the vectors of a page are not finite (on cpu, float32): set model.dtype",
        ("--weights", "somebody/half"): "lacks b.safetensors: fetch it again",
        ("--weights", str(clip), "--device", "cuda:7"): "cuda:7",
        ("--backend", "dual_encoder"): "model.weights is not set",
    }.items():
        result = cli("models", "check", *words)
        assert result.exit_code == 1, result.output
        assert result.stdout.startswith("✗ dual_encoder")
        assert advice in result.stdout
        told = json.loads(cli("models", "check", *words, "--json").stdout)
        assert (told["ok"], told["backend"]) == (False, "dual_encoder")
        assert advice in told["error"]["message"]


def test_a_backend_that_fails_is_told_without_a_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(Fake, "encode_documents", fail)
    result = cli("models", "check")
    assert result.exit_code == 1
    assert "cannot encode (CUDA out of memory)" in result.stdout


def test_weights_that_no_backend_loads_are_refused_by_what_they_are(cli: Cli, cache: Path) -> None:
    original = put(cache, "OpenGVLab/InternVL3-1B", "internvl_chat", "model.safetensors")
    put(cache, "somebody/bert", "bert", "model.safetensors")
    for words, message in {
        ("--weights", "somebody/bert"): "somebody/bert is a bert",
        ("--weights", "OpenGVLab/InternVL3-1B"): f"`docintake models convert {original} TARGET` first",
        ("--weights", "nowhere"): "`docintake models list` shows what is at hand",
        ("--weights", "nowhere", "--backend", "ocr_text"): "ocr_text takes no --weights",
        ("--backend", "wrong"): "no backend is called 'wrong'",
    }.items():
        error = refused(cli("models", "check", *words))
        assert isinstance(error, RejectedInput)
        assert message in error.message


def test_a_folder_that_is_no_original_is_not_converted(cli: Cli, clip: Path, tmp_path: Path) -> None:
    for source in (clip, tmp_path / "nowhere"):
        error = refused(cli("models", "convert", source, tmp_path / "made"))
        assert isinstance(error, RejectedInput)
        assert str(source) in error.message
        assert not (tmp_path / "made").exists()


def test_a_conversion_shows_its_progress_and_says_what_it_made(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(source: Path, target: Path, say: Callable[[str], None]) -> None:
        say(f"{source.name}.safetensors, 1 of 1")
        target.mkdir()
        (target / "model.safetensors").write_bytes(b"." * 3_000_000)

    monkeypatch.setattr("core.backends.internvl.conversion.convert", make)
    result = cli("models", "convert", tmp_path / "original", tmp_path / "made")
    assert result.exit_code == 0, result.output
    assert result.stderr == "original.safetensors, 1 of 1\n"
    assert f"{tmp_path / 'made'} is made, 3.0 MB" in result.stdout
    assert f"`docintake models check --weights {tmp_path / 'made'}`" in result.stdout

    result = cli("models", "convert", tmp_path / "original", tmp_path / "again", "--json")
    told = json.loads(result.stdout)
    assert (told["target"], told["size"]) == (str(tmp_path / "again"), 3_000_000)


def test_a_conversion_that_fails_says_so(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ModelFailure("conversion_failed", "weights are missing: fetch it again")

    monkeypatch.setattr("core.backends.internvl.conversion.convert", fail)
    assert refused(cli("models", "convert", tmp_path / "a", tmp_path / "b")).code == "conversion_failed"
