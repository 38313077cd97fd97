"""Which figures queries ask Prometheus for, and which docintake tells it."""

import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from core.settings import PROJECT

_ENDING = re.compile(r"_(bucket|sum|count|total)$")


def told() -> set[str]:
    """Names as they stand in the code that tells them, less what Prometheus puts behind them."""
    code = "".join(path.read_text() for path in (PROJECT / "worker").glob("*.py"))
    return {_ENDING.sub("", name) for name in re.findall(r'"(docintake_[a-z_]+)"', code)}


def asked(expression: str) -> set[str]:
    """Names of all figures that it reads, less the same. Raises ValueError where it is no expression."""
    # Grafana fills in how long a rate is to be taken over.
    parsed = promql.parse(expression.replace("$__rate_interval", "1m"))
    return {_ENDING.sub("", name) for name in _names(parsed)}


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, promql.VectorSelector):
        yield node.name
    for name in ("lhs", "rhs", "expr", "vector_selector", "args", "param"):
        part = getattr(node, name, None)
        for one in part if isinstance(part, list) else [part]:
            if one is not None:
                yield from _names(one)
