"""Texts of errors."""

from gansmith.core.errors import by_reason, some_of


def test_names_beyond_the_first_are_counted():
    assert some_of(["a", "b"], 2) == "a, b"
    assert some_of(["a", "b", *"x" * 1000], 2, " = ") == "a = b and 1,000 more"


def test_problems_are_told_by_their_reasons_the_commonest_first():
    problems = [("a", "empty"), ("b", "cut off"), ("c", "cut off"), ("d", "cut off"), ("e", "cut off")]
    assert by_reason(problems) == ["b, c, d and 1 more (cut off)", "a (empty)"]
