"""How far a transfer is, for a person who waits; programs and logs are told nothing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHOWN_BYTES = 32 * 2**20


@contextmanager
def watched(what: str, num_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error that the body moves on by bytes; none for little, nor where nobody watches."""
    if num_bytes < SHOWN_BYTES or not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(total=num_bytes, desc=what, unit="B", unit_scale=True, leave=False, file=sys.stderr) as bar:

        def move(count: int) -> None:
            # Parts of a file come from several threads.
            with bar.get_lock():
                bar.update(count)

        yield move
