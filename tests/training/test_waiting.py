"""The share of time that a training waits for data, by a clock that is turned by hand."""

from myxtts.training.waiting import ENOUGH, Waiting


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def step(waiting: Waiting, clock: Clock, waited: float, worked: float) -> None:
    with waiting:
        clock.now += waited
    clock.now += worked


def test_the_share_is_that_of_the_batches_since_it_was_read():
    waiting = Waiting("speaker", clock := Clock())
    for _ in range(4):
        step(waiting, clock, 1.0, 3.0)
    # Work after the last batch belongs to the next.
    assert waiting.share() == 4 / 13
    step(waiting, clock, 3.0, 1.0)
    assert waiting.share() == 0.5
    assert waiting.share() == 0.0


def test_validations_are_left_out():
    waiting = Waiting("speaker", clock := Clock())
    step(waiting, clock, 1.0, 100.0)
    waiting.begin()
    step(waiting, clock, 1.0, 0.0)
    assert waiting.share() == 1.0


def test_much_waiting_is_told_once(caplog):
    waiting = Waiting("speaker", clock := Clock())
    for _ in range(2 * ENOUGH):
        step(waiting, clock, 2.0, 3.0)
        waiting.share()
    assert caplog.text.count("spent waiting for data") == 1
    assert "speaker: 40 %" in caplog.text


def test_little_waiting_is_not_told(caplog):
    waiting = Waiting("speaker", clock := Clock())
    for _ in range(2 * ENOUGH):
        step(waiting, clock, 1.0, 9.0)
    waiting.share()
    assert not caplog.text
