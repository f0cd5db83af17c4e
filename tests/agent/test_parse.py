"""Kernel lists of numbers, as they should be and as nobody should believe them."""

import pytest

from nodeproof.errors import FactError
from nodeproof.probes.parse import MAX_NUMBERS, number_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", []), ("0", [0]), ("0-3,8,10-11", [0, 1, 2, 3, 8, 10, 11]), ("5-5,\n", [5])],
)
def test_a_list_of_numbers(text: str, expected: list[int]) -> None:
    assert number_list("online", text) == expected


def test_as_many_numbers_as_may_be() -> None:
    assert len(number_list("online", f"0-{MAX_NUMBERS - 1}")) == MAX_NUMBERS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-x", "expected a number"),
        ("-3", "expected a number"),
        ("3-1", "runs backwards"),
        ("0-99999999999999999999", "more than 65536 numbers"),
        ("0-65535,7", "more than 65536 numbers"),
        ("0-65535," * 3000, "more than 65536 numbers"),
        ("1," * 65537, "more than 65536 numbers"),
    ],
    ids=["no number", "negative", "backwards", "long range", "one more", "many ranges", "many numbers"],
)
def test_a_list_that_nobody_should_believe(text: str, expected: str) -> None:
    with pytest.raises(FactError) as caught:
        number_list("online", text)
    assert caught.value.kind == "malformed"
    assert expected in caught.value.detail
