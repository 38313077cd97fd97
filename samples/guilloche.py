"""The fine curves behind the print of passports and cards."""

import math

from samples.origin import Origin
from samples.paper import Paper


def guilloche(paper: Paper, origin: Origin) -> None:
    """Cover the sheet with a pale ground and waves in the origin's pale colour."""
    paper.rectangle(0, 0, paper.width, paper.height, fill=(248, 248, 245))
    turn = origin.rng.uniform(0.01, 0.03)
    for wave in range(24):
        points = [
            (float(x), paper.height * wave / 23 + 9 * math.sin(turn * x + wave * 0.5))
            for x in range(0, int(paper.width) + 6, 6)
        ]
        paper.stroke(points, 0.6, origin.pale)
