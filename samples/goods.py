"""What firms sell each other: names with the unit that they are counted in."""

from dataclasses import dataclass

from samples.origin import Origin


@dataclass(frozen=True)
class Item:
    code: str
    name: str
    unit: str
    count: int
    price: int  # cents

    @property
    def sum(self) -> int:
        return self.count * self.price


def items(origin: Origin, most: int = 9) -> list[Item]:
    """Two to `most` positions, none of them twice."""
    catalogue = origin.words("goods")["catalogue"]
    chosen = origin.rng.sample(catalogue, origin.between(2, min(most, len(catalogue))))
    pattern = origin.pick(("@@-####", "######", "@###-##", "##.####"))
    return [
        Item(
            origin.number(pattern),
            name,
            unit,
            origin.pick((1, 1, 2, 3, 4, 5, 8, 10, 12, 20)),
            origin.price(450, 48000),
        )
        for name, unit in chosen
    ]
