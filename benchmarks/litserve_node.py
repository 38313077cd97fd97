"""LitServe, for `benchmarks.batching` and `benchmarks.rivals` to measure beside our own."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import litserve

from benchmarks.batching import LINGER, WORKLOADS
from benchmarks.rivals import pipeline


class Api(litserve.LitAPI):
    def __init__(self, name: str) -> None:
        super().__init__(max_batch_size=WORKLOADS[name].max_batch, batch_timeout=LINGER)
        self._name = name

    def setup(self, _device: str) -> None:
        self._run = WORKLOADS[self._name].make()

    def decode_request(self, request: dict[str, int]) -> int:
        return request["number"]

    def batch(self, inputs: Sequence[int]) -> Sequence[int]:
        return inputs

    def predict(self, batch: Sequence[int]) -> Sequence[float]:
        return self._run(batch)

    def unbatch(self, output: Sequence[float]) -> Sequence[float]:
        return output

    def encode_response(self, output: float) -> dict[str, Any]:
        return {"value": output}


class Pipeline(litserve.LitAPI):
    """A whole pipeline, one file a request."""

    def setup(self, _device: str) -> None:
        self._ask = pipeline()

    def decode_request(self, request: dict[str, str]) -> Path:
        return Path(request["file"])

    def predict(self, file: Path) -> str:
        return self._ask([file])[0]

    def encode_response(self, output: str) -> dict[str, str]:
        return {"class": output}


if __name__ == "__main__":
    # A pipeline needs the processor: a process a core.
    api, workers = (Pipeline(), 2) if sys.argv[1] == "pipeline" else (Api(sys.argv[1]), 1)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=workers, timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
