"""The id of a schema: read from bytes or headers of any kind, as Confluent's clients read it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracing.schemas.decoding import framed
from tracing import schema_id

GUID = UUID("0a1b2c3d-0000-4000-8000-000000000001")
IN_HEADER = b"\x01" + GUID.bytes


@pytest.mark.parametrize(
    ("value", "headers", "found"),
    [
        (framed(7), None, 7),
        (framed(7, b""), None, 7),
        (bytearray(framed(7)), None, 7),
        (memoryview(framed(2**32 - 1)), None, 2**32 - 1),
        (IN_HEADER + b"payload", None, GUID),
        (b"payload", [("__value_schema_id", IN_HEADER)], GUID),
        (b"payload", (("a", b"1"), ["__value_schema_id", framed(7)]), 7),
        (b"payload", {"__value_schema_id": framed(7)}, 7),
        (framed(8), [("__value_schema_id", framed(7))], 7),
        (b"", [("__value_schema_id", framed(7)), ("__value_schema_id", framed(8))], 7),
        (framed(8), [("__key_schema_id", framed(7))], 8),
        (framed(8), [("__value_schema_id", None)], 8),
        (framed(8), [("__value_schema_id", b"\x02")], None),
        (b"", None, None),
        (b"\0\0\0\1", None, None),
        (b"\x01" + GUID.bytes[:15], None, None),
        (b"\x02\0\0\0\1payload", None, None),
        (b'{"order": 1}', None, None),
        (None, None, None),
        ("\0\0\0\0\1", None, None),
        (framed(7), 5, 7),
        (framed(7), [5, ("a",), None], 7),
    ],
)
def test_the_id_is_before_the_payload_or_in_a_header(
    value: Any, headers: Any, found: int | UUID | None
) -> None:
    assert found == schema_id(value, headers)


def test_a_key_has_a_header_of_its_own() -> None:
    headers = [("__value_schema_id", framed(1)), ("__key_schema_id", framed(2))]

    assert (1, 2) == (schema_id(b"v", headers), schema_id(b"k", headers, key=True))


class _Raising:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __bool__(self) -> bool:
        raise RuntimeError("bool")


_STRANGE = st.one_of(
    st.none(), st.integers(), st.text(), st.binary(), st.builds(_Raising), st.just({}), st.just(())
)
_HEADERS = st.one_of(
    _STRANGE,
    st.lists(
        st.one_of(
            _STRANGE,
            st.tuples(st.one_of(st.just("__value_schema_id"), _STRANGE), _STRANGE),
            st.tuples(_STRANGE),
        )
    ),
)


@given(value=_STRANGE, headers=_HEADERS, key=st.booleans())
def test_whatever_comes_in_it_does_not_raise(value: Any, headers: Any, *, key: bool) -> None:
    assert isinstance(schema_id(value, headers, key=key), int | UUID | None)


@given(number=st.integers(0, 2**32 - 1), payload=st.binary())
def test_a_number_is_read_as_it_was_written(number: int, payload: bytes) -> None:
    assert number == schema_id(framed(number, payload))
