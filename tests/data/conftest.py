"""Fixtures that the tests of data share."""

import numpy as np
import pytest

from myxtts.config import XTTSConfig
from myxtts.data.corpus import Corpus
from myxtts.data.store import Feature, FeatureStore
from myxtts.data.xtts import open_corpus, open_store
from myxtts.data.xtts_features import features
from myxtts.text.tokenizer import train_tokenizer
from tests.conftest import write_corpus


@pytest.fixture(scope="package")
def clips(tmp_path_factory) -> Corpus:
    """Seven clips of about 0.9 to 1.5 s; the embedding of clip i is the i-th unit vector."""
    folder = write_corpus(tmp_path_factory.mktemp("clips"), clips=7)
    config = XTTSConfig()
    unit = Feature(lambda clip: np.eye(7, dtype="float32")[int(clip.path.stem[-1])], {})
    screen = open_store(config.data, folder / "cache").screen
    store = FeatureStore(screen, features() | {"embedding": unit}, folder / "cache")
    corpus, _ = open_corpus(folder, config, store, learn)
    return corpus


def learn(found):
    return train_tokenizer([(item.text, item.language) for item in found], 300)
