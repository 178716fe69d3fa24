"""Bulk work: every item once, whole, also where a worker is killed; what cannot be done is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from myxtts.errors import ConfigError, DataError, MyXTTSError
from tools import bulk
from tools.bulk_jobs.pool import MOST_DEATHS, Job, Processes, Rays, do_all

HERE = "tests.tools.bulk_job"


def items(*special: dict) -> list[dict]:
    return [{"name": f"item-{number}"} for number in range(6)] + list(special)


def outcomes(folder: Path, work: list[dict], pool=None) -> dict:
    job = Job(f"{HERE}:opened", {"folder": str(folder)})
    return {made.item["name"]: made.refused for made in do_all(pool or Processes(2, 1), job, work)}


def test_a_killed_workers_item_is_done_again(tmp_path):
    found = outcomes(tmp_path, [{"name": "first", "die": True}, *items()])
    assert set(found.values()) == {None} and len(found) == 7
    assert (tmp_path / "first.begun").exists() and (tmp_path / "first").exists()
    who = {(tmp_path / name).read_text() for name in found}
    assert 2 <= len(who) <= 3


def test_what_kills_every_worker_is_refused_and_the_others_are_done(tmp_path):
    special = ({"name": "bad", "die": "always"}, {"name": "off", "refuse": True})
    found = outcomes(tmp_path, [*special, {"name": "odd", "break": True}, *items()])
    assert found.pop("bad") == f"{MOST_DEATHS} workers died of it"
    assert found.pop("off") == "it is damaged."
    assert found.pop("odd") == "ZeroDivisionError: by zero"
    assert set(found.values()) == {None} and len(found) == 6


def test_a_job_that_cannot_be_opened_is_one_sentence(tmp_path):
    job = Job(f"{HERE}:opened", {"folder": str(tmp_path), "fails": "there is no such preset."})
    with pytest.raises(MyXTTSError, match="no such preset"):
        list(do_all(Processes(1, 1), job, items()))


def arguments(*words: str):
    return bulk.parser().parse_args([str(word) for word in words])


def test_done_items_are_not_done_again(tmp_path, monkeypatch, capsys):
    texts, output = tmp_path / "texts.txt", tmp_path / "out"
    texts.write_text("First text.\nb|Second text.|mina\n")
    made = []

    def work(args, job, left):
        made.extend(left)
        for item in left:
            Path(item["output"]).write_bytes(b"x")
        return {}

    monkeypatch.setattr(bulk, "work", work)
    call = arguments("synthesise", "--texts", texts, "--output", output, "--voice", "ruth")
    bulk.main(call)
    assert [(item["name"], item["voice"]) for item in made] == [("00001", "ruth"), ("b", "mina")]
    (output / "b.wav").unlink()
    bulk.main(call)
    assert [item["name"] for item in made[2:]] == ["b"]
    assert json.loads((output / "refused.json").read_text()) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [("a|b|c|d\n", "line 1: name"), ("a|x\na|y\n", "a before it"), ("\n", "no text"),
     ("../a|x\n", "line 1")],
)  # fmt: skip
def test_lines_that_are_none_are_told(tmp_path, text, told):
    path = tmp_path / "texts.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        bulk.main(arguments("synthesise", "--texts", path, "--output", tmp_path / "out"))


def test_refused_items_are_listed_and_end_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "work", lambda args, job, left: {"00001": "it is too long."})
    (tmp_path / "t.txt").write_text("Words.\n")
    call = arguments("synthesise", "--texts", tmp_path / "t.txt", "--output", tmp_path / "out")
    with pytest.raises(DataError, match="1 of 1 could not be done.*00001: it is too long"):
        bulk.main(call)
    assert json.loads((tmp_path / "out" / "refused.json").read_text())


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'myxtts\[ray\]'"):
        Rays("auto")


@pytest.mark.slow
def test_rays_actors_do_a_killed_ones_item_again(tmp_path):
    ray = pytest.importorskip("ray", reason="ray is not installed")
    ray.init(num_cpus=2, include_dashboard=False)
    ray.shutdown()
    pool = Rays("local", 2, 1)
    found = outcomes(tmp_path, [{"name": "first", "die": True}, *items()], pool)
    assert set(found.values()) == {None} and len(found) == 7
    assert (tmp_path / "first").exists()


@pytest.mark.slow
def test_features_are_those_of_the_training(tmp_path, corpus):
    from myxtts.config import XTTSConfig
    from myxtts.data.formats import find_utterances
    from myxtts.data.xtts import open_store

    call = arguments(
        "features", "--train-data", corpus, "--cache-dir", tmp_path, "--workers", 2, "--json"
    )
    bulk.main(call)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    assert before
    store = open_store(XTTSConfig().data, tmp_path)
    for item in find_utterances(corpus):
        assert np.isfinite(store.load(item, "dvae_mel")["dvae_mel"]).all()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")} == before
