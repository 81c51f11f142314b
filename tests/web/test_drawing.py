"""The queue: batches, limits, deadlines, and callers that leave."""

import asyncio
import threading
from urllib.parse import urlencode

import numpy as np
import pytest

import gansmith
from gansmith.core.errors import GansmithError
from gansmith.core.events import Progress
from gansmith.inference.latents import Latents, find_latents
from gansmith.web import drawing
from gansmith.web.drawing import DrawingQueue, ImageState, SlowQueue, largest_exact_batch, parse_flat, parse_state
from gansmith.web.refused import RefusedError


@pytest.fixture(scope="module")
def cond(served):
    return gansmith.load(served / "cond.onnx")


@pytest.mark.parametrize(
    "flat",
    [
        "seeds=3",
        "seeds=3%2C7%3A4&weights=0.25%2C-0.75&truncation=0.7&labels=1%3A0.5%2Cdark%3A0.5&moves=dir0%3A1.5%2Cz12%3A-0.4",
        "latent=AADAPwAAAAA&labels=0%3A1",
    ],
)
def test_a_state_and_its_flat_form_are_the_same(flat):
    state = parse_flat(flat)
    assert urlencode(state.query()) == flat
    assert parse_flat(urlencode(state.query())) == state
    assert ImageState.model_validate_json(state.model_dump_json()) == state


def test_class_names_hold_colons():
    assert parse_state(labels="a:b:0.5,1:2,c").labels == {"a:b": 0.5, "1": 2.0, "c": 1.0}


def test_states_that_cannot_be_are_refused(refused):
    for values in ({"weights": "1,2"}, {"seeds": "1,2", "weights": "0,0"}, {"moves": "z1:101"}, {"seeds": "1;2"}):
        with refused("web.bad_request"):
            parse_state(**values)


class Slow:
    """A model whose batches are counted, and wait until they may go on."""

    def __init__(self, model) -> None:
        self.model, self.record, self.sizes = model, model.record, []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.latent_input, self.data = model.latent_input, model.data

    def draw_batch(self, latents, labels=None):
        self.begun.set()
        assert self.go_on.wait(10)
        self.sizes.append(len(latents))
        return self.model.draw_batch(latents, labels)


async def waiting(queue: DrawingQueue, model, count: int) -> list[asyncio.Task]:
    """Return tasks that draw an image each: the first is on the thread, the others are in the queue."""

    def begin(number: int) -> asyncio.Task:
        return asyncio.create_task(
            queue.draw(model, find_latents(model.model, str(number)), lambda made: made[0].copy())
        )

    first = begin(0)
    await asyncio.to_thread(model.begun.wait, 10)
    tasks = [first, *map(begin, range(1, count))]
    await asyncio.sleep(0)
    return tasks


def test_what_waits_is_drawn_together(cond):
    async def main():
        queue, model = DrawingQueue(), Slow(cond)
        queue._exact[model] = 64
        tasks = await waiting(queue, model, 10)
        model.go_on.set()
        made = await asyncio.gather(*tasks)
        queue.close()
        return made, model.sizes, queue.drawn

    made, sizes, drawn = asyncio.run(main())
    assert np.array_equal(made, gansmith.pick(cond, [str(number) for number in range(10)]).images)
    assert (sizes, drawn) == ([1, 9], 10)


def test_a_lone_image_of_a_quick_model_is_drawn_at_once_and_the_same(cond, monkeypatch):
    async def main(quick_sec, lone_sec=-1.0):
        monkeypatch.setattr(drawing, "QUICK_SEC", quick_sec)
        monkeypatch.setattr(drawing, "LONE_SEC", lone_sec)
        queue, threads = DrawingQueue(), []

        def finish(made):
            threads.append(threading.current_thread() is threading.main_thread())
            return made.copy()

        made = [await queue.draw(cond, find_latents(cond, names), finish) for names in (["3"], ["4"], ["5", "6"])]
        with pytest.raises(ZeroDivisionError):
            await queue.draw(cond, find_latents(cond, "3"), lambda made: 1 / 0)
        queue.close()
        return threads, np.concatenate(made)

    threads, at_once = asyncio.run(main(1e9))
    assert threads == [False, True, False], "the first image is timed on the thread, and two are drawn there"
    assert asyncio.run(main(1e9, lone_sec=1e9))[0] == [False] * 3, "others were asked for just now"
    threads, on_thread = asyncio.run(main(0.0))
    assert threads == [False] * 3
    assert np.array_equal(at_once, on_thread)


def test_where_batches_change_images_they_are_drawn_alone(cond, monkeypatch):
    assert largest_exact_batch(cond) in (1, cond.record.sample_batch)

    def draw_batch(latents, labels=None):
        return drawn(latents, labels) + np.uint8(len(latents) > 2)

    drawn = cond.draw_batch
    monkeypatch.setattr(cond, "draw_batch", draw_batch)
    assert largest_exact_batch(cond) == 1


def test_a_full_queue_refuses_and_empties(cond):
    async def main():
        queue, model = DrawingQueue(most_waiting=3), Slow(cond)
        queue._exact[model] = 64
        tasks = await waiting(queue, model, 8)
        model.go_on.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        again = await queue.draw(model, find_latents(cond, "3"), lambda made: made.shape)
        queue.close()
        return results, again

    results, again = asyncio.run(main())
    refused = [each for each in results if isinstance(each, RefusedError)]
    assert [(each.status, each.code) for each in refused] == [(429, "web.busy")] * 4
    assert again == (1, 8, 8, 1)


def test_a_deadline_and_a_caller_that_leaves_take_their_image_out_of_the_queue(cond):
    async def main():
        queue, model = DrawingQueue(deadline_sec=0.1), Slow(cond)
        queue._exact[model] = 64
        first, second, third = await waiting(queue, model, 3)
        second.cancel()
        late = await asyncio.gather(first, third, return_exceptions=True)
        model.go_on.set()
        queue.deadline_sec = 10
        await queue.draw(model, find_latents(cond, "3"), lambda made: made.shape)
        queue.close()
        return late, model.sizes

    late, sizes = asyncio.run(main())
    assert [(each.status, each.code) for each in late] == [(504, "web.deadline")] * 2
    assert sizes == [1, 1], "the image on the thread was drawn, those in the queue were not"


def test_what_goes_wrong_with_one_image_hurts_no_other(cond):
    async def main():
        queue, model = DrawingQueue(), Slow(cond)
        queue._exact[model] = 64
        tasks = await waiting(queue, model, 2)
        bad = asyncio.create_task(queue.draw(model, find_latents(cond, "9"), lambda made: 1 / 0))
        unfit = Latents(np.zeros((1, 3), np.float32), np.eye(3, dtype=np.float32)[:1], ("",))
        await asyncio.sleep(0)
        model.go_on.set()
        results = await asyncio.gather(*tasks, bad, return_exceptions=True)
        with pytest.raises(GansmithError):
            await queue.draw(model, unfit, lambda made: made)
        after = await queue.draw(model, find_latents(cond, "3"), lambda made: made.shape)
        queue.close()
        return results, after

    results, after = asyncio.run(main())
    assert [type(each) for each in results] == [np.ndarray, np.ndarray, ZeroDivisionError]
    assert after == (1, 8, 8, 1)


def test_slow_work_reports_and_ends_when_nobody_waits():
    began, ended = threading.Event(), threading.Event()

    def endless(report):
        began.set()
        try:
            while True:
                report(Progress("tiles", 1, 2))
        finally:
            ended.set()

    async def main():
        queue, told = SlowQueue(most_waiting=1), []
        made = await queue.run(lambda report: report(Progress("tiles", 2, 2)) or 7, told.append)
        await asyncio.sleep(0)
        task = asyncio.create_task(queue.run(endless))
        await asyncio.to_thread(began.wait, 10)
        with pytest.raises(RefusedError) as busy:
            await queue.run(lambda report: 7)
        task.cancel()
        await asyncio.to_thread(ended.wait, 10)
        await asyncio.gather(task, return_exceptions=True)
        again = await queue.run(lambda report: 8)
        queue.close()
        return made, told, busy.value.status, again

    made, told, busy, again = asyncio.run(main())
    assert (made, busy, again) == (7, 429, 8)
    assert [each.done for each in told] == [2]
    assert drawing.RETRY_SEC >= 1
