"""LitServe with its dynamic batching, for `benchmarks.batching` to measure beside our own."""

import sys
from collections.abc import Sequence
from typing import Any

import litserve

from benchmarks.batching import LINGER, WORKLOADS


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


if __name__ == "__main__":
    server = litserve.LitServer(Api(sys.argv[1]), accelerator="cpu", devices=1, timeout=False)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
