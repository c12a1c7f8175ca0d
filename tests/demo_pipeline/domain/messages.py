"""Messages of all types, with any content that their types permit."""

from __future__ import annotations

from datetime import date
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from demo_pipeline.domain.messages import Message
from demo_pipeline.domain.topics import TOPIC_OF

_PLAIN: Final[dict[Any, st.SearchStrategy[Any]]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(max_size=40),
    date: st.dates(),
    type(None): st.none(),
}


def _values_of(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if get_origin(annotation) is tuple:
        return st.lists(_values_of(get_args(annotation)[0]), max_size=4).map(tuple)
    if get_origin(annotation) is UnionType:
        return st.one_of(*map(_values_of, get_args(annotation)))
    fields = get_type_hints(annotation).items()
    return st.builds(annotation, **{name: _values_of(type_) for name, type_ in fields})


MESSAGES: Final[st.SearchStrategy[Message]] = st.one_of(*map(_values_of, TOPIC_OF))
"""Any message that the shop may send."""
