"""Words that the GPU checks share."""

from collections.abc import Iterable, Mapping

from nodeproof.verdict import named


def parts(addresses: Iterable[str]) -> list[str]:
    """Return GPUs as parts of the machine, named as events name them."""
    return [f"pci:{address}" for address in addresses]


def listed(wrong: Mapping[str, str]) -> str:
    """Return what is wrong with each GPU, for a sentence."""
    return named([f"{label} {words}" for label, words in wrong.items()])


def on_off(is_on: bool | None) -> str:
    """Return how NVIDIA's tools word a switch."""
    return "on" if is_on else "off"


def odd_ones(values: Mapping[str, object]) -> dict[str, object]:
    """Return those of `values`, by GPU, that differ from what most have; of two halves those of the second."""
    found = list(values.values())
    most = max(found, key=found.count, default=None)
    return {label: value for label, value in values.items() if value != most}
