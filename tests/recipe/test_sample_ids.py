from __future__ import annotations

import pytest

from mergekit_cycleqd.recipe.sample_ids import SampleIds


@pytest.mark.parametrize(
    ("text", "documents", "ids"),
    [
        ("0-3", 10, [0, 1, 2, 3]),
        ("7-", 10, [7, 8, 9]),
        ("5", 10, [5]),
        ("0-1, 8-", 10, [0, 1, 8, 9]),
        ([4, 2, 2], 10, [2, 4]),
        ("0-3,2-5", 10, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_ids_are_read_and_resolved(text: object, documents: int, ids: list[int]) -> None:
    assert SampleIds.parse(text).resolve(documents) == ids


@pytest.mark.parametrize("text", ["", "a", "-3", "3--4", "1.5", [], [-1], [True], None, {"a": 1}])
def test_what_is_no_set_of_ids_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        SampleIds.parse(text)


def test_a_range_that_runs_backwards_is_refused_as_empty() -> None:
    with pytest.raises(ValueError, match="is empty: 9-3"):
        SampleIds.parse("9-3")


@pytest.mark.parametrize("text", ["0-10", "10-", "10"])
def test_ids_beyond_the_last_document_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="beyond the task's 10 documents"):
        SampleIds.parse(text).resolve(10)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("0-9", "10-", None),
        ("0-9", "9-", 9),
        ("5-", "0-", 5),
        ("0-2,8", "4-9", 8),
        ([1], [2], None),
    ],
)
def test_what_two_sets_share_is_found(one: object, other: object, shared: int | None) -> None:
    assert SampleIds.parse(one).first_shared(SampleIds.parse(other)) == shared


def test_the_text_comes_back() -> None:
    assert str(SampleIds.parse("0-1,5,8-")) == "0-1,5,8-"
