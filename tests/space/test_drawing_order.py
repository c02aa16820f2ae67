"""Who may draw next."""

import threading
import time

import pytest

pytest.importorskip("gradio", reason="the page needs album-gan[demo]")

from album_gan.space.drawing_order import Lane, PriorityLock


def test_the_presenter_goes_first_and_everybody_else_in_order():
    lock, order, threads = PriorityLock(), [], []

    def wait_in(lane, name):
        with lock.hold(lane):
            order.append(name)

    with lock.hold(Lane.AUDIENCE):
        for lane, name in ((Lane.AUDIENCE, "a"), (Lane.AUDIENCE, "b"), (Lane.PRESENTER, "her"), (Lane.AUDIENCE, "c")):
            threads.append(threading.Thread(target=wait_in, args=(lane, name)))
            threads[-1].start()
            while len(lock._waiting) < len(threads):
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == ["her", "a", "b", "c"]
