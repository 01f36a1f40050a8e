"""Quiet calls of other libraries."""

import logging
import threading
import warnings

from vqclip.models.third_party import quiet


def test_threads_leave_logging_and_warnings_alone() -> None:
    both = threading.Event()

    def first() -> None:
        with quiet():
            other.start()
            both.wait(0.2)

    def second() -> None:
        with quiet():
            both.set()
            one.join()

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    before = logging.root.manager.disable, list(warnings.filters)
    one.start()
    one.join()
    other.join()
    assert (logging.root.manager.disable, list(warnings.filters)) == before
