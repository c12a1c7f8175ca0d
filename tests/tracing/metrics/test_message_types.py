"""Values by type of message: within a bound, whatever the messages say."""

from __future__ import annotations

from tracing.metrics.message_types import (
    MAX_MESSAGE_TYPES,
    MAX_OTHER_TYPES,
    ByType,
    TypeNames,
)


def test_values_by_type_are_no_more_than_labels() -> None:
    made: list[str | None] = []

    def make(label: str | None) -> str | None:
        made.append(label)
        return label

    values = ByType(TypeNames(), make)
    labels = [values[b"T%d" % number] for number in range(1000)]
    values[b"\xff"], values[None], values[b"_OTHER"]

    named = [f"T{number}" for number in range(MAX_MESSAGE_TYPES)]
    assert [*named, *["_OTHER"] * (1000 - MAX_MESSAGE_TYPES)] == labels
    # Each once, also the shared one and that of messages without a type.
    assert [*named, "_OTHER", None] == made
    assert MAX_MESSAGE_TYPES + 1 == len(values)


def test_types_without_a_label_have_values_of_their_own_within_a_bound() -> None:
    values = ByType[str](TypeNames(), str, name=lambda shared, name: f"{shared} {name}")
    types = [b"T%d" % number for number in range(1000)]
    made = [values[each] for each in types]

    assert [values[each] for each in types] == made
    named = [f"T{number}" for number in range(MAX_MESSAGE_TYPES)]
    others = [f"_OTHER T{MAX_MESSAGE_TYPES + number}" for number in range(MAX_OTHER_TYPES)]
    assert [*named, *others] == made[: MAX_MESSAGE_TYPES + MAX_OTHER_TYPES]
    assert {"_OTHER"} == set(made[MAX_MESSAGE_TYPES + MAX_OTHER_TYPES :])
    assert MAX_MESSAGE_TYPES + MAX_OTHER_TYPES == len(values)


def test_a_type_named_like_the_shared_label_takes_no_place() -> None:
    names = TypeNames()

    assert "_OTHER" == names.label("_OTHER")
    assert ["T"] * 2 == [names.label("T"), names.label("T")]
    assert "_OTHER" not in {names.label(f"T{number}") for number in range(MAX_MESSAGE_TYPES - 1)}
    assert "_OTHER" == names.label("one more")
