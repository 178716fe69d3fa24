"""Trackers are told figures, and a run goes on whatever they do."""

import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest

from myxtts.trackers import COMET_KEY, Comet, Trackers, Visdom, WandB


class Broken:
    def __init__(self):
        self.asked = 0

    def tell(self, step, figures):
        self.asked += 1
        raise SystemExit("no server")

    def close(self):
        raise AssertionError("is asked no more")


class Listening:
    def __init__(self):
        self.heard = []

    def tell(self, step, figures):
        self.heard.append((step, dict(figures)))

    def close(self):
        self.heard.append("closed")


def test_one_that_fails_is_named_once_and_the_others_go_on(caplog):
    broken, listening = Broken(), Listening()
    trackers = Trackers({"A": lambda: broken, "B": lambda: listening, "C": lambda: 1 / 0})
    trackers.tell(1, {"loss": 2.0})
    trackers.tell(2, {"loss": 1.0})
    trackers.close()
    assert broken.asked == 1
    assert listening.heard == [(1, {"loss": 2.0}), (2, {"loss": 1.0}), "closed"]
    assert "A is not told of this run: no server" in caplog.text
    assert "C is not told of this run: division by zero" in caplog.text
    assert len(caplog.records) == 2


@pytest.fixture
def comet(monkeypatch):
    """A stand-in for comet_ml that keeps what it is told."""
    run = SimpleNamespace(told=[], settings=None, ended=False)
    run.log_parameters = lambda values: setattr(run, "settings", values)
    run.log_metrics = lambda figures, step: run.told.append((step, figures))
    run.end = lambda: setattr(run, "ended", True)
    module = ModuleType("comet_ml")
    module.ExperimentConfig = lambda **given: SimpleNamespace(**given)
    module.start = lambda **given: setattr(run, "given", given) or run
    monkeypatch.setitem(sys.modules, "comet_ml", module)
    return run


def test_comet_takes_its_key_from_the_environment(comet, monkeypatch):
    monkeypatch.setenv(COMET_KEY, "secret")
    tracker = Comet("voices", "mine", {"training": {"loss": "ge2e"}})
    tracker.tell(10, {"speaker/train/loss": 1.5})
    tracker.close()
    assert (comet.given["api_key"], comet.given["project_name"]) == ("secret", "voices")
    own = comet.given["experiment_config"]
    assert own.name == "mine"
    assert not (own.log_code or own.log_env_details or own.auto_output_logging or own.parse_args)
    assert comet.settings == {"training": {"loss": "ge2e"}}
    assert comet.told == [(10, {"speaker/train/loss": 1.5})]
    assert comet.ended


def test_without_a_key_comet_is_not_asked(comet, monkeypatch, caplog):
    monkeypatch.delenv(COMET_KEY, raising=False)
    Trackers({"Comet": lambda: Comet("voices", "mine", {})}).tell(1, {})
    assert f"Comet is not told of this run: {COMET_KEY} is not in the environment" in caplog.text
    assert not hasattr(comet, "given")


def test_a_package_that_is_absent_is_a_line(monkeypatch, caplog, tmp_path):
    caplog.set_level(logging.WARNING)
    for name in ("comet_ml", "wandb", "visdom"):
        monkeypatch.setitem(sys.modules, name, None)
    Trackers(
        {
            "Comet": lambda: Comet("p", "n", {}),
            "Weights & Biases": lambda: WandB("p", "n", tmp_path, {}),
            "visdom": lambda: Visdom("http://localhost", "n"),
        }
    )
    assert "Comet is not told of this run: comet_ml is not installed" in caplog.text
    assert "Weights & Biases is not told of this run: wandb is not installed" in caplog.text
    assert "visdom is not told of this run: visdom is not installed" in caplog.text


@pytest.fixture
def board(monkeypatch):
    """A stand-in for visdom that keeps what it is told."""
    board = SimpleNamespace(lines=[], saved=None, answers=True)
    board.check_connection = lambda: board.answers
    board.line = lambda **given: board.lines.append(given)
    board.save = lambda envs: setattr(board, "saved", envs)

    def make(**given):
        board.given, board.env = given, given["env"]
        return board

    module = ModuleType("visdom")
    module.Visdom = make
    monkeypatch.setitem(sys.modules, "visdom", module)
    return board


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("http://localhost", "http://localhost", 8097),
        ("https://host.name:9000/", "https://host.name", 9000),
        ("host:81", "http://host", 81),
    ],
)
def test_visdom_draws_a_line_a_figure(board, server, host, port):
    tracker = Visdom(server, "mine")
    tracker.tell(10, {"speaker/train/loss": 1.5, "speaker/train/eer": 0.1})
    tracker.close()
    assert (board.given["server"], board.given["port"], board.env) == (host, port, "mine")
    told = [(line["win"], line["X"], line["Y"], line["update"]) for line in board.lines]
    assert told == [
        ("speaker/train/loss", [10], [1.5], "append"),
        ("speaker/train/eer", [10], [0.1], "append"),
    ]
    assert board.saved == ["mine"]


def test_a_visdom_server_that_does_not_answer_is_a_line(board, caplog, monkeypatch):
    board.answers = False
    Trackers({"visdom": lambda: Visdom("http://localhost", "mine")}).tell(1, {"loss": 1.0})
    assert "visdom is not told of this run: no visdom server answers at" in caplog.text

    def refuse(**given):
        raise ConnectionError("refused")

    monkeypatch.setattr(sys.modules["visdom"], "Visdom", refuse)
    caplog.clear()
    Trackers({"visdom": lambda: Visdom("http://localhost", "mine")}).tell(1, {"loss": 1.0})
    assert "http://localhost:8097" in caplog.text and not board.lines
