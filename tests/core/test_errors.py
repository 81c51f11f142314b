"""Texts of errors."""

from gansmith.core.errors import by_reason, some_of


def test_names_beyond_the_first_are_counted():
    assert some_of(["a", "b"], 2) == "a, b"
    assert some_of(["a", "b", *"x" * 1000], 2, " = ") == "a = b and 1,000 more"


def test_problems_are_told_by_their_reasons_the_commonest_first():
    problems = [("a", "empty"), ("b", "cut off"), ("c", "cut off"), ("d", "cut off"), ("e", "cut off")]
    assert by_reason(problems) == ["b, c, d and 1 more (cut off)", "a (empty)"]


def test_reasons_that_differ_in_their_numbers_are_one():
    problems = [(f"{at}.npy", f"has {at + 1} of 1,0{at}4 values that are NaN") for at in range(5)]
    assert by_reason([("x", "empty"), *problems]) == [
        "0.npy, 1.npy, 2.npy and 2 more (such as: has 1 of 1,004 values that are NaN)",
        "x (empty)",
    ]
