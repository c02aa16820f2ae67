"""Who waits for whom: a fair share for each client, bounded queues that say when they are full, the presenter apart."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from serving import free_port, run_async, serve

pytest.importorskip("gradio", reason="the page needs album-gan[demo]")

from album_gan.space import cover_queue, job_queue
from album_gan.space.client import COOKIE, Client
from album_gan.space.drawing_order import Lane, PriorityLock
from album_gan.space.fair_queue import FairQueue, QueueFullError
from album_gan.space.job_queue import JobQueue
from album_gan.space.validation import Cover

pytestmark = pytest.mark.long

KEY = "for-the-test"
HERSELF = Client("1", Lane.PRESENTER)


def test_shares_take_turns():
    queue, order = FairQueue(), []
    for share, item in (("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("c", 6)):
        queue.add(share, item)
    while len(queue):
        share, item = next(iter(queue))
        queue.take(share, item)
        order.append(item)
    assert order == [1, 4, 5, 2, 6, 3]


def test_jobs_are_bounded_and_clients_and_kinds_of_work_take_turns():
    jobs, order, running, most = JobQueue(), [], [], []
    gate = threading.Event()

    def work(name):
        running.append(name)
        most.append(len(running))
        gate.wait(10)
        order.append(name)
        running.remove(name)

    futures = [jobs.submit(Client("1"), "film", work, f"film {n}") for n in range(job_queue.MAX_WAITING_PER_SHARE)]
    while len(running) < job_queue.MAX_RUNNING_PER_SHARE:
        time.sleep(0.01)
    futures.append(jobs.submit(Client("1"), "enlarge", work, "enlargement"))
    while len(running) < job_queue.MAX_RUNNING:
        time.sleep(0.01)
    assert "enlargement" in running  # a slot was left for it
    futures.append(jobs.submit(Client("2"), "film", work, "other"))
    more = submit_until_full(jobs, [Client("1")] * 100, work)
    assert len(more) <= job_queue.MAX_RUNNING_PER_SHARE
    crowd = submit_until_full(jobs, [Client(f"1.{number}") for number in range(100)], work)
    assert len(futures) + len(more) + len(crowd) <= job_queue.MAX_RUNNING + job_queue.MAX_WAITING
    hers = jobs.submit(HERSELF, "film", work, "hers")
    while "hers" not in running:
        time.sleep(0.01)
    gate.set()
    wait([*futures, *more, *crowd, hers], timeout=30)
    assert order.index("other") < order.index("film 5")
    assert max(most) <= job_queue.MAX_RUNNING + 1  # and hers


def submit_until_full(jobs, clients, work) -> list:
    futures = []
    for client in clients:
        try:
            futures.append(jobs.submit(client, "film", work, "more"))
        except QueueFullError:
            return futures
    raise AssertionError("the queue has no end")


def test_a_job_that_is_given_up_leaves_its_place():
    jobs = JobQueue()
    with jobs.join(Client("1"), "film") as first, jobs.join(Client("1"), "film") as second:
        with jobs.join(Client("1"), "film") as third:
            assert (first.wait(0), second.wait(0), third.wait(0)) == (True, True, False)
            assert third.ahead == 2
        with jobs.join(Client("1"), "film") as fourth:
            assert fourth.ahead == 2
    with jobs.join(Client("1"), "film") as fifth:
        assert fifth.wait(0)


def test_the_presenters_cover_is_not_behind_what_the_audience_waits_for():
    lock, order = PriorityLock(), []
    queue = cover_queue.CoverQueue(lambda seeds, *_: order.extend(seeds) or seeds, lambda image, _: image, lock)

    def film():
        with lock.hold(Lane.AUDIENCE):
            order.append("film")

    with lock.hold(Lane.PRESENTER):
        other = threading.Thread(target=film)
        other.start()
        while len(lock._waiting) < 1:
            time.sleep(0.01)
        covers = queue.request([Cover(1), Cover(2)], Client("2"))
        while len(lock._waiting) < 2:
            time.sleep(0.01)
        covers += queue.request([Cover(2), Cover(3)], HERSELF)
        time.sleep(0.1)
    assert [cover.result(10) for cover in covers] == [1, 2, 2, 3]
    other.join(10)
    assert order == [2, 3, "film", 1]


def test_a_failing_job_frees_its_slot():
    jobs = JobQueue()
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            jobs.submit(Client("1"), "film", lambda: 1 / 0).result(10)


def test_a_job_that_ends_with_stop_iteration_is_answered():
    async def answer():
        with pytest.raises(RuntimeError, match="the job ended with StopIteration"):
            await asyncio.wait_for(asyncio.wrap_future(JobQueue().submit(Client("1"), "learn", next, iter(()))), 10)

    run_async(answer())


class Painter:
    """Stands for the network: notes the batches and waits until it may go on."""

    def __init__(self):
        self.batches, self.gate = [], threading.Event()

    def __call__(self, seeds, truncation, label):
        self.batches.append(seeds)
        self.gate.wait(10)
        return seeds

    def queue(self):
        return cover_queue.CoverQueue(self, lambda seed, cover: b"%d" % seed, PriorityLock())


def test_one_cover_is_not_behind_another_clients_hundred_nor_behind_ones_own_archives():
    painter = Painter()
    covers = painter.queue()
    futures = covers.request([Cover(seed) for seed in range(64)], Client("1"), "archive")
    futures += covers.request([Cover(seed) for seed in range(100, 164)], Client("1"), "archive")
    futures += covers.request([Cover(1001)], Client("1")) + covers.request([Cover(2001)], Client("2"))
    futures += covers.request([Cover(163)], Client("3"))  # it waits already, but far behind
    painter.gate.set()
    assert futures[-1].result(10) == b"163"
    wait(futures, timeout=10)
    place = {seed: place for place, batch in enumerate(painter.batches) for seed in batch}
    assert max(place[1001], place[2001], place[163]) <= 4
    assert sorted(place) == sorted([*range(64), *range(100, 164), 1001, 2001])
    assert all(len(batch) <= cover_queue.BATCH_SIZE for batch in painter.batches)


def test_a_full_queue_of_covers_says_so_but_never_to_the_presenter():
    painter = Painter()
    covers = painter.queue()
    futures = covers.request([Cover(seed) for seed in range(cover_queue.MAX_WAITING_PER_SHARE)], Client("1"))
    with pytest.raises(QueueFullError, match="queue is full"):
        covers.request([Cover(seed) for seed in range(1000, 1010)], Client("1"))
    rest = cover_queue.MAX_WAITING - cover_queue.MAX_WAITING_PER_SHARE
    futures += covers.request([Cover(2000 + seed) for seed in range(rest)], Client("2"))
    with pytest.raises(QueueFullError):  # of all clients together
        covers.request([Cover(3000 + seed) for seed in range(9)], Client("3"))
    futures += covers.request([Cover(seed) for seed in range(50_000, 50_300)], HERSELF)
    assert covers.request([Cover(0)], Client("1"))[0] is futures[0]  # what is known already is no work
    painter.gate.set()
    wait(futures, timeout=30)
    assert all(future.done() for future in futures)
    hers = [batch for batch in painter.batches if batch[0] >= 50_000]
    assert painter.batches.index(hers[-1]) <= len(hers) + 1  # the audience's first batch was being drawn


def test_a_failed_batch_is_tried_again_when_somebody_asks_again(tiny_pipeline):
    failures = [OSError("no memory")]

    def draw(seeds, truncation, label):
        if failures:
            raise failures.pop()
        return seeds

    covers = cover_queue.CoverQueue(draw, lambda seed, cover: b"drawn", PriorityLock())
    with pytest.raises(OSError, match="no memory"):
        covers.request([Cover(1)])[0].result(10)
    assert covers.request([Cover(1)])[0].result(10) == b"drawn"


def test_small_jobs_overtake_large_ones():
    """However many large ones wait, of however many clients; and the large ones still get their turns."""
    jobs = JobQueue()
    large = [jobs.join(Client(str(n)), "enlarge", is_large=True) for n in range(6)]
    small = jobs.join(Client("9"), "enlarge")
    assert [job.started.is_set() for job in large] == [True, True, False, False, False, False]
    assert small.started.is_set()
    small.__exit__()
    assert not large[2].started.is_set()  # the slot is for small ones
    jobs.leave(large[0])
    assert large[2].started.is_set()


@pytest.fixture(scope="module")
def address(tiny_model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALBUM_GAN_PRESENTER", KEY)
        with serve(tiny_model, free_port(), tmp_path_factory.mktemp("files")) as address:
            yield address


def get(address, path, source="127.0.0.1", **headers):
    """(status, text, when) of a request by the client with the address `source`."""
    url = urlsplit(address)
    client = HTTPConnection(url.hostname, url.port, timeout=120, source_address=(source, 0))
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    text = answer.read()
    client.close()
    return answer.status, text, time.monotonic()


FLOODS = {
    "films": ("/film/{0}/{1}.mp4", 48),
    "edits": ('/edit/{0}.png?size=512&edits={{"darker":2,"busier":1}}', 120),
    "enlargements": ("/cover/{0}.webp?size=1024", 120),
    "archives": ("/covers.zip?seeds={0}00-{0}63", 100),
}


# Enlargements stand for all of them where it must be fast.
@pytest.mark.parametrize(
    "kind", [kind if kind == "enlargements" else pytest.param(kind, marks=pytest.mark.slow) for kind in FLOODS]
)
def test_a_flood_of_one_client_is_cut_off_and_delays_nobody_else(address, kind):
    """Nor its own other requests by much, nor the presenter's at all, even of the same kind."""
    path, count = FLOODS[kind]
    number = 1000 * (1 + list(FLOODS).index(kind))
    flood = [path.format(seed, seed + 500).replace('"', "%22") for seed in range(number, number + count)]
    with ThreadPoolExecutor(count + 4) as pool:
        answers = [pool.submit(get, address, one, "127.0.0.2") for one in flood]
        while not any(answer.done() for answer in answers):
            time.sleep(0.005)
        cover = pool.submit(get, address, f"/cover/{number}9.png", "127.0.0.3")
        large = pool.submit(get, address, f"/cover/{number}8.webp?size=512", "127.0.0.3")
        own = pool.submit(get, address, f"/cover/{number}7.png", "127.0.0.2")
        hers = pool.submit(get, address, f"/film/{number}5/{number}6.mp4", "127.0.0.4", cookie=f"{COOKIE}={KEY}")
        others = [one.result() for one in (cover, large, own, hers)]
        results = [answer.result() for answer in answers]
    assert [status for status, _, _ in others] == [200] * 4
    refused = [text for status, text, _ in results if status == 503]
    assert refused
    assert all(b"queue is full" in text for text in refused)
    served = sorted(when for status, _, when in results if status == 200)
    assert len(served) + len(refused) == count
    assert max(when for _, _, when in others) < served[-1]
    assert others[0][2] < served[len(served) // 2]


def call_generate(address, seeds, source):
    """(text, when) of a call of the API, through gradio's queue."""
    url = urlsplit(address)
    client = HTTPConnection(url.hostname, url.port, timeout=120, source_address=(source, 0))
    body = json.dumps({"data": [seeds, 1.0, None]})
    client.request("POST", "/gradio_api/call/generate", body, {"Content-Type": "application/json"})
    answer = client.getresponse()
    event = json.loads(answer.read()).get("event_id")
    if event is None:
        return f"{answer.status}", time.monotonic()
    client.request("GET", f"/gradio_api/call/generate/{event}")
    text = client.getresponse().read().decode()
    client.close()
    return text, time.monotonic()


def test_a_flood_of_calls_delays_no_other_clients_call(address):
    with ThreadPoolExecutor(64) as pool:
        flood = [pool.submit(call_generate, address, f"{n}00-{n}63", "127.0.0.2") for n in range(9000, 9060)]
        while not any(answer.done() for answer in flood):
            time.sleep(0.005)
        text, when = call_generate(address, "777777", "127.0.0.3")
        results = [answer.result() for answer in flood]
    assert "event: complete" in text
    served = sorted(when for text, when in results if "event: complete" in text)
    assert served
    assert sum("queue is full" in text for text, _ in results) >= 30
    assert when < served[-1]
