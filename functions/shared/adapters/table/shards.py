"""Merging what an index spreads over shards."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby, islice
from typing import Any, TypeVar

T = TypeVar("T")

# The number of connections that botocore keeps open.
_MAX_CONNECTIONS = 10


def merged(shards: Iterable[Iterator[T]], key: Callable[[T], tuple[Any, ...]], *, reverse: bool = False) -> Iterator[T]:
    """Merge the shards, each of which is in the order of the key's first part alone, into the order of the whole key.

    The shards' first pages are read at once, and later pages as they are needed.
    """

    def first_part(each: T) -> Any:
        return key(each)[0]

    with ThreadPoolExecutor(_MAX_CONNECTIONS) as pool:
        begun = list(pool.map(_begun, shards))
    for _, equal in groupby(heapq.merge(*begun, key=first_part, reverse=reverse), key=first_part):
        yield from sorted(equal, key=key, reverse=reverse)


def _begun(shard: Iterator[T]) -> Iterator[T]:
    """The same elements, after fetching the first page."""
    return chain(list(islice(shard, 1)), shard)
