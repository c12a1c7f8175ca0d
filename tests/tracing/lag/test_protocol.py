"""Protocol messages that aiokafka lacks: encoded and decoded."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracing.kafka.group_protocol import DescribeConsumerGroups, DescribeGroups, assigned_to

ASSIGNMENT = (
    b"\x00\x00\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01"
    b"\x00\x00\x00\x00"
)


def test_an_assignment_is_decoded() -> None:
    assert [("t", 0), ("t", 1)] == assigned_to(ASSIGNMENT)


def test_the_assignment_of_a_new_member_is_unknown() -> None:
    assert assigned_to(b"") is None


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_the_assignment_is_unknown(data: bytes) -> None:
    assigned_to(data)
    assigned_to(ASSIGNMENT[: len(data)] + data)


def test_several_groups_are_described_in_a_version_that_aiokafka_decodes() -> None:
    request = DescribeGroups(["a", "b"]).prepare({15: (0, 6)})

    assert 2 == request.API_VERSION == request.RESPONSE_TYPE.API_VERSION


def test_groups_of_the_newer_protocol_are_decoded() -> None:
    request: Any = DescribeConsumerGroups(["newer"]).prepare({69: (0, 1)})
    assignment: Any = ([(1, 2, 3, 4, "t", [0, 5], {})], {})
    member: Any = (
        "m", None, None, 3, "client", "host", ["t"], None, assignment, assignment, {},
    )  # fmt: skip
    group: Any = (0, None, "newer", "Stable", 3, 3, "uniform", [member], -1, {})
    answer = request.RESPONSE_TYPE(0, [group], {})

    assert [group] == request.RESPONSE_TYPE.decode(BytesIO(answer.encode())).groups
    assert b"\x02\x06newer\x00\x00" == request.encode()
