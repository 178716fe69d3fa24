"""What a training run starts from: a model, a vocabulary and what it must know of its corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from myxtts.config import XTTSConfig
from myxtts.data.corpus import Corpus
from myxtts.data.formats import Utterance
from myxtts.errors import CheckpointError, ConfigError
from myxtts.models.xtts import XTTS
from myxtts.presets.folder import read_config
from myxtts.settings import to_dict
from myxtts.text.extension import extend_tokenizer
from myxtts.text.tokenizer import VoiceBpeTokenizer, train_tokenizer
from myxtts.training.vocabulary import grow_vocabulary
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder

CONFIG = "config.yaml"
PRESET = "preset"
# What --init-from may find otherwise in the preset: nothing that decides a shape or a path.
CHANGEABLE = {
    "gpt.num_text_tokens",
    "gpt.dropout",
    "freeze_speaker_encoder",
    "pretrained_speaker_encoder_path",
    "contrastive_loss_temperature",
    "contrastive_loss_margin",
}


@dataclass
class Corpora:
    """Training and validation corpora with what was learned from the former."""

    train: Corpus
    validation: Corpus
    tokenizer: VoiceBpeTokenizer
    mel_stats: np.ndarray


def make_model(config: XTTSConfig, run_dir: Path) -> XTTS:
    """The run's model so far, or a fresh one that has yet to meet its corpus."""
    if (run_dir / PRESET / CONFIG).is_file():
        model = XTTS.from_preset(run_dir / PRESET)
        model.config = config
        return model
    if config.training.init_from:
        return _fine_tuned(config)
    model = XTTS(config)
    if config.model.use_pretrained_speaker_encoder:
        load_pretrained_speaker_encoder(
            model.audio_encoder.speaker_encoder, config.model.pretrained_speaker_encoder_path
        )
    return model


def _fine_tuned(config: XTTSConfig) -> XTTS:
    """The model to fine-tune, under this run's configuration.

    Raises:
        CheckpointError: the configuration describes a model of another shape.
    """
    folder = Path(config.training.init_from)
    sizes = read_config(folder).model
    changed = set(differing_keys(to_dict(sizes), to_dict(config.model))) - CHANGEABLE
    if changed:
        raise CheckpointError(
            f"--init-from {folder} is another model (model.{min(changed)} differs)."
        )
    # Entries are added once the corpus is known, or were in the run that is resumed.
    gpt = {"num_text_tokens": sizes.gpt.num_text_tokens}
    return XTTS.from_preset(folder, config.merged({"model": {"gpt": gpt}}))


def introduce(model: XTTS, corpora: Corpora) -> XTTS:
    """The model with its corpus's vocabulary and statistics; the corpora get its embeddings."""
    if model.tokenizer is None:
        model.tokenizer = corpora.tokenizer
        model.set_mel_stats(corpora.mel_stats)
    elif model.tokenizer.vocabulary != corpora.tokenizer.vocabulary:
        model = grow_vocabulary(model, corpora.tokenizer)
    section = model.config.model
    if section.use_pretrained_speaker_encoder and section.freeze_speaker_encoder:
        _embed_speakers(model, corpora)
    return model


def choose_tokenizer(
    config: XTTSConfig, run_dir: Path, known: VoiceBpeTokenizer | None, found: list[Utterance]
) -> VoiceBpeTokenizer:
    """The vocabulary that was named, else that of the run, else the model's, else a new one.

    Args:
        config: its data and its model's sizes are used.
        run_dir: where the vocabulary is kept.
        known: the model's, which ``data.extend_vocabulary`` lets grow.
        found: utterances to learn from.

    Raises:
        ConfigError: it does not fit the model.
        TextError: it cannot be read or learned.
    """
    gpt, added = config.model.gpt, config.data.extend_vocabulary
    pairs = [(item.text, item.language) for item in found]
    kept = run_dir / "tokenizer.json"
    if config.data.tokenizer:
        tokenizer = VoiceBpeTokenizer(config.data.tokenizer)
    elif kept.is_file():
        tokenizer = VoiceBpeTokenizer(kept)
    elif known is not None:
        tokenizer = extend_tokenizer(known, pairs, added) if added else known
    else:
        tokenizer = train_tokenizer(pairs, gpt.num_text_tokens)
    if tokenizer.vocab_size > gpt.num_text_tokens + added:
        raise ConfigError(
            f"the tokenizer has {tokenizer.vocab_size} entries, model.gpt.num_text_tokens is "
            f"{gpt.num_text_tokens}; --extend-vocabulary lets a fine-tuned model grow."
        )
    if (tokenizer.start_id, tokenizer.stop_id) != (gpt.start_text_token, gpt.stop_text_token):
        raise ConfigError(
            f"the tokenizer's [START] and [STOP] are {tokenizer.start_id} and {tokenizer.stop_id}, "
            f"the model's {gpt.start_text_token} and {gpt.stop_text_token}."
        )
    tokenizer.save(kept)
    return tokenizer


def _embed_speakers(model: XTTS, corpora: Corpora) -> None:
    """Compute the frozen encoder's embeddings once: they cannot change in training."""
    encoder = model.audio_encoder.speaker_encoder
    key = "".join(char if char.isalnum() else "-" for char in encoder.provenance)[-40:]

    # Eagerly, a recurrent encoder would take a second a clip.
    graph = tf.function(
        lambda audio, lengths: encoder(audio, lengths),
        input_signature=[tf.TensorSpec((1, None)), tf.TensorSpec((1,), "int32")],
        autograph=False,
    )

    def embed(audio: np.ndarray) -> np.ndarray:
        return graph(audio[None], np.array([len(audio)], "int32"))[0].numpy()

    for corpus in {id(item): item for item in (corpora.train, corpora.validation)}.values():
        corpus.embed(embed, key)


def differing_keys(first: dict, second: dict, prefix: str = "") -> list[str]:
    """Dotted names of the leaves in which two nested dictionaries differ."""
    names = []
    for key in sorted(first.keys() | second.keys()):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += differing_keys(one, other, f"{prefix}{key}.")
        elif one != other:
            names.append(f"{prefix}{key}")
    return names
