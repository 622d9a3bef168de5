"""Sets of sample ids: their limits, their text, and what two of them share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergekit_cycleqd.recipe.sample_ids import SampleIds

SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.one_of(st.none(), st.integers(0, 9))), min_size=1, max_size=5
).map(
    lambda spans: SampleIds(
        tuple((first, None if more is None else first + more) for first, more in spans)
    )
)
DOCUMENTS = 60


@given(SPANS, SPANS)
def test_the_smallest_shared_id_is_that_of_the_sets_themselves(
    one: SampleIds, other: SampleIds
) -> None:
    shared = set(one.resolve(DOCUMENTS)) & set(other.resolve(DOCUMENTS))
    assert one.first_shared(other) == min(shared, default=None)


@given(SPANS)
def test_the_text_is_read_back_as_the_same_set(ids: SampleIds) -> None:
    assert SampleIds.parse(str(ids)) == ids


def test_ids_have_up_to_twelve_digits_and_may_stand_apart() -> None:
    assert SampleIds.parse("999999999999").spans == ((999999999999, 999999999999),)
    assert SampleIds.parse(" 3 , 5-6,9- ").spans == ((3, 3), (5, 6), (9, None))
    with pytest.raises(ValueError, match="must be ids such as"):
        SampleIds.parse("1000000000000")


def test_a_span_of_one_runs_forwards_and_a_list_may_hold_zero() -> None:
    assert SampleIds.parse("5-5").resolve(6) == [5]
    assert SampleIds.parse([0]).resolve(1) == [0]
    assert SampleIds.parse([3, 0, 3]).spans == ((0, 0), (3, 3))


@pytest.mark.parametrize("text", ["0-9", "9", "9-", "0-"])
def test_the_last_document_is_within_a_task(text: str) -> None:
    assert SampleIds.parse(text).resolve(10)[-1] == 9


@pytest.mark.parametrize(
    ("text", "documents"), [("0-9", 9), ("9", 9), ("9-", 9), ("0", 0), ("0-3,9", 9)]
)
def test_one_beyond_it_is_not(text: str, documents: int) -> None:
    with pytest.raises(ValueError, match=rf"{documents} documents \(ids 0-{documents - 1}\)"):
        SampleIds.parse(text).resolve(documents)
