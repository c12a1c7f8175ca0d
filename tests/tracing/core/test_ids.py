"""Random ids never repeat: not across threads, not across forks, not with a seed."""

import os
import random
import re
from concurrent.futures import ThreadPoolExecutor

from tracing.core.ids import child_ids, dropped_root_ids, random_id, root_ids


def test_an_id_is_32_hexadecimal_digits() -> None:
    assert re.fullmatch(rb"[0-9a-f]{32}", random_id())


def test_ids_have_the_form_of_what_they_are_for() -> None:
    roots = {root_ids(b"03").new() for _ in range(300)}
    children = {child_ids(b"01").new() for _ in range(300)}

    assert 300 == len(roots) == len(children)
    assert all(re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-03", root) for root in roots)
    assert all(re.fullmatch(rb"[0-9a-f]{16}-01", child) for child in children)


def test_new_traces_that_nothing_records_differ_where_samplers_look() -> None:
    roots = {dropped_root_ids(b"02").new() for _ in range(1000)}

    assert all(re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-02", root) for root in roots)
    assert 1000 == len({root[19:35] for root in roots})
    # What some have in common is random as well, and changes.
    assert 1 < len({root[3:19] for root in roots})
    assert 1 < len({root[36:52] for root in roots})
    assert not {root[3:19] for root in roots} & {root[36:52] for root in roots}


def test_threads_never_get_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [random_id() for _ in range(5_000)], range(8)))

    ids = [found for batch in batches for found in batch]
    assert 40_000 == len(set(ids))


def test_a_forked_child_has_ids_of_its_own() -> None:
    # The parent has some left, and so would the child.
    random_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join(random_id() for _ in range(64)))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    written = os.read(reader, 64 * 32)
    os.close(reader)

    theirs = {written[at : at + 32] for at in range(0, len(written), 32)}
    assert 64 == len(theirs)
    assert theirs.isdisjoint({random_id() for _ in range(200)})


def test_a_seed_makes_no_difference() -> None:
    random.seed(1)
    first = random_id()
    random.seed(1)

    assert first != random_id()
