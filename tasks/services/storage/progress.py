"""Progress bar for large transfers; silent unless stderr is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHOWN_BYTES = 32 * 2**20


@contextmanager
def progress_bar(what: str, num_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show a bar during the body; yield a function that advances it by a number of bytes."""
    if num_bytes < SHOWN_BYTES or not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(total=num_bytes, desc=what, unit="B", unit_scale=True, leave=False, file=sys.stderr) as bar:

        def advance(count: int) -> None:
            # Parts of a file arrive from several threads.
            with bar.get_lock():
                bar.update(count)

        yield advance
