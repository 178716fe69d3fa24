"""Trackers are told figures, and a run goes on whatever they do."""

import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest

from myxtts.trackers import COMET_KEY, Comet, Trackers, WandB


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
    for name in ("comet_ml", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
    Trackers(
        {
            "Comet": lambda: Comet("p", "n", {}),
            "Weights & Biases": lambda: WandB("p", "n", tmp_path, {}),
        }
    )
    assert "Comet is not told of this run" in caplog.text
    assert "Weights & Biases is not told of this run" in caplog.text
