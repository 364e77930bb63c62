"""Replies: many bulk strings at once, and numbers."""

from __future__ import annotations

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from cluster.protocol import replies

TEXTS = st.lists(st.binary(max_size=5) | st.just(b"x" * replies.HEADED_BYTES))


def parsed(encoded: bytes) -> object:
    reader = hiredis.Reader()
    reader.feed(encoded)
    answer = reader.gets()
    assert not reader.has_data()
    return answer


@given(TEXTS)
def test_arrays_maps_and_sets_of_bulk_strings(texts: list[bytes]) -> None:
    assert parsed(replies.bulk_array(texts)) == texts
    assert parsed(replies.bulk_set(texts, 2)) == texts
    assert replies.bulk_set(texts, 3) == b"~" + replies.bulk_array(texts)[1:]
    flat = [part for number, text in enumerate(texts) for part in (b"%d" % number, text)]
    assert parsed(replies.bulk_map(flat, 2)) == flat
    assert parsed(replies.bulk_map(flat, 3)) == {b"%d" % number: text for number, text in enumerate(texts)}
    assert parsed(replies.bulk_or_null_array([*texts, None], 2)) == [*texts, None]
