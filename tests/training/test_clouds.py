"""Embeddings laid out in a plane, and the projector's files."""

import logging
import sys
from types import ModuleType

import numpy as np
import pytest

from myxtts.training.clouds import Cloud, principal
from myxtts.training.logs import RunLog


@pytest.fixture
def embeddings():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 1)) * np.eye(5)[:1] * 9 + rng.normal(size=(12, 5))


def test_principal_components_equal_those_of_the_covariance(embeddings):
    places = principal(embeddings)
    values, vectors = np.linalg.eigh(np.cov(embeddings.T))
    centred = embeddings - embeddings.mean(axis=0)
    for axis, vector in enumerate(vectors.T[::-1][:2]):
        theirs = centred @ vector
        turned = theirs * np.sign(theirs[np.abs(theirs).argmax()])
        np.testing.assert_allclose(places[:, axis], turned, atol=1e-9)


def test_points_of_one_number_lie_on_a_line():
    places = principal(np.array([[1.0], [2.0], [4.0]]))
    assert places.shape == (3, 2)
    assert not places[:, 1].any()


def test_without_umap_a_picture_is_drawn_by_pca_and_says_so(embeddings, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(sys.modules, "umap", None)
    cloud = Cloud()
    places, method = cloud.layout(embeddings)
    assert method == "PCA"
    np.testing.assert_array_equal(places, principal(embeddings))
    picture = cloud.picture(embeddings, np.repeat(np.arange(12), 1))
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10  # a colour a speaker
    assert caplog.text.count("umap-learn is not installed") == 1


def test_umap_is_asked_where_it_is_there_and_there_are_points_enough(embeddings, monkeypatch):
    given = {}

    class UMAP:
        def __init__(self, **own):
            given.update(own)

        def fit_transform(self, rows):
            return rows[:, :2]

    module = ModuleType("umap")
    module.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    assert Cloud().layout(embeddings[:9])[1] == "PCA"
    assert not given
    assert Cloud().layout(embeddings)[1] == "UMAP"
    assert (given["n_neighbors"], given["random_state"], given["metric"]) == (11, 42, "cosine")


def test_the_projector_reads_the_files(tmp_path):
    projector = pytest.importorskip("tensorboard.plugins.projector.projector_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    vectors = np.array([[0.25, -1.0, 2.0], [1 / 3, 0.0, 1e-9]], "float32")
    RunLog(tmp_path, "speaker").points("trials", vectors, ["a/b.wav", "a tab\there\n"])
    folder = tmp_path / "tensorboard" / "speaker"
    config = projector.ProjectorConfig()
    text_format.Parse((folder / "projector_config.pbtxt").read_text(), config)
    (own,) = config.embeddings
    assert own.tensor_name == "trials"
    np.testing.assert_allclose(np.loadtxt(folder / own.tensor_path, delimiter="\t"), vectors, 1e-6)
    assert (folder / own.metadata_path).read_text() == "a/b.wav\na tab here\n"
