"""XTTS as it is trained: its stages, and the model, vocabulary and corpora they start from."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

from myxtts.config import XTTSConfig
from myxtts.data.corpus import Corpus
from myxtts.data.formats import Utterance
from myxtts.data.screening import Report
from myxtts.data.xtts import mel_stats, open_corpus, open_store
from myxtts.digests import check_beside, hashed_beside
from myxtts.errors import CheckpointError, ConfigError
from myxtts.generation.vocoding import lacks_dvae
from myxtts.models.speaker_encoder import SECTIONS
from myxtts.models.xtts import TOKENIZER, XTTS
from myxtts.presets.folder import check_file, read_config, refuse_training
from myxtts.presets.record import MANIFEST, XTTS_KIND, check_record
from myxtts.settings import to_dict
from myxtts.text.extension import extend_tokenizer
from myxtts.text.tokenizer import VoiceBpeTokenizer, character_tokenizer, train_tokenizer
from myxtts.training.stage import System
from myxtts.training.stages import decoder, dvae, gpt
from myxtts.training.start import CONFIG, PRESET, differing_keys, open_corpora
from myxtts.training.vocabulary import grow_vocabulary
from myxtts.weights.model_card import inherit_card
from myxtts.weights.speaker_encoders import (
    described,
    load_pretrained_speaker_encoder,
    trained_preset,
)

# What --init-from may find otherwise in the preset: nothing that decides a shape or a path.
CHANGEABLE = {
    "gpt.num_text_tokens",
    "gpt.dropout",
    "freeze_speaker_encoder",
    "pretrained_speaker_encoder_path",
    "contrastive_loss_temperature",
    "contrastive_loss_margin",
    "wavlm.dropout",
}


def prepare(config: XTTSConfig, run_dir: Path) -> tuple[XTTS, Corpus, Corpus]:
    """The model and both its corpora, of one vocabulary."""
    # The model first: what it lacks is said before hours of features are computed.
    model = make_model(config, run_dir)
    section, encoder = config.model, model.audio_encoder.speaker_encoder
    frozen = section.use_pretrained_speaker_encoder and section.freeze_speaker_encoder
    cache = config.data.cache_dir or run_dir / "cache"
    store = open_store(config.data, cache, encoder if frozen else None)

    def open_one(folder: str) -> tuple[Corpus, Report]:
        choose = partial(choose_tokenizer, config, run_dir, model.tokenizer)
        return open_corpus(folder, config, store, choose)

    train, validation = open_corpora(config, run_dir, open_one)
    return introduce(model, train), train, validation


def complete(config: XTTSConfig) -> XTTSConfig:
    """``config`` with the sizes that its pretrained speaker encoder comes in.

    They are those of the run or of the model that is continued, whose files may be gone.

    Raises:
        WeightsError: the encoder's weights are not there, or contradict the configuration.
    """
    model, run = config.model, Path(config.training.output_dir) / CONFIG
    if not model.use_pretrained_speaker_encoder or config.training.init_from:
        return config
    if not run.is_file():
        path = model.pretrained_speaker_encoder_path
        return dataclasses.replace(config, model=described(model, path))
    name = SECTIONS.get(model.speaker_encoder_type)
    described_elsewhere = trained_preset(model.pretrained_speaker_encoder_path) is not None
    if name is None or not (name == "wavlm" or described_elsewhere):
        return config
    sizes = getattr(model, name)
    unset, stored = to_dict(type(sizes)()), to_dict(getattr(XTTSConfig.from_yaml(run).model, name))
    own = {key: value for key, value in to_dict(sizes).items() if value != unset[key]}
    return config.merged({"model": {name: stored | own}})


def make_model(config: XTTSConfig, run_dir: Path) -> XTTS:
    """The run's model so far, or a fresh one that has yet to meet its corpus."""
    if (run_dir / PRESET / CONFIG).is_file():
        refuse_training(run_dir / PRESET, XTTS_KIND)
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
        CheckpointError: the configuration describes a model of another shape, or the model has
            no DVAE.
    """
    folder = Path(config.training.init_from)
    refuse_training(folder, XTTS_KIND)
    sizes = read_config(folder, XTTS_KIND, XTTSConfig).model
    changed = set(differing_keys(to_dict(sizes), to_dict(config.model))) - CHANGEABLE
    if changed:
        raise CheckpointError(
            f"--init-from {folder} is another model (model.{min(changed)} differs)."
        )
    # Entries are added once the corpus is known, or were in the run that is resumed.
    gpt = {"num_text_tokens": sizes.gpt.num_text_tokens}
    model = XTTS.from_preset(folder, config.merged({"model": {"gpt": gpt}}))
    if lacks_dvae(model.trained_steps):
        raise CheckpointError(
            f"--init-from {folder} was converted without its dvae.pth, which makes the audio codes "
            "of a training corpus: put it beside the checkpoint and convert that again."
        )
    return model


def introduce(model: XTTS, corpus: Corpus) -> XTTS:
    """The model with the vocabulary of its training corpus, and if new with its statistics."""
    if model.tokenizer is None:
        model.tokenizer = corpus.tokenizer
        model.set_mel_stats(mel_stats(corpus))
    elif model.tokenizer.vocabulary != corpus.tokenizer.vocabulary:
        return grow_vocabulary(model, corpus.tokenizer)
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
        CheckpointError: it is damaged or was changed.
        TextError: it cannot be read or learned.
    """
    gpt, added = config.model.gpt, config.data.extend_vocabulary
    pairs = [(item.text, item.language) for item in found]
    kept = run_dir / TOKENIZER
    if config.data.tokenizer:
        tokenizer = _read_named(Path(config.data.tokenizer))
    elif kept.is_file():
        check_beside(kept)
        tokenizer = VoiceBpeTokenizer(kept)
    elif known is not None:
        tokenizer = extend_tokenizer(known, pairs, added) if added else known
    else:
        tokenizer = _new_tokenizer(config, pairs)
    if config.data.phoneme_share and not tokenizer.has_phonemes:
        raise ConfigError(
            "data.phoneme_share wants a vocabulary with phonemes; give --vocabulary characters, "
            "or a share of 0."
        )
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
    with hashed_beside(kept):
        tokenizer.save(kept)
    return tokenizer


def _read_named(path: Path) -> VoiceBpeTokenizer:
    """A vocabulary from anywhere; one of a run or a preset is compared with its hash there."""
    own = path.name == TOKENIZER
    if own and (path.parent / MANIFEST).is_file():
        check_record(path.parent)
        check_file(path)
    elif path.is_file():
        check_beside(path, unhashed=own and (path.parent / CONFIG).is_file())
    return VoiceBpeTokenizer(path)


def _new_tokenizer(config: XTTSConfig, pairs: list[tuple[str, str]]) -> VoiceBpeTokenizer:
    size, data = config.model.gpt.num_text_tokens, config.data
    if data.vocabulary == "characters":
        return character_tokenizer(pairs, size, phonemes=data.phoneme_share > 0)
    return train_tokenizer(pairs, size)


def finish(config: XTTSConfig, preset: Path) -> None:
    """The licence goes with the weights that a fine-tuned model began with."""
    if config.training.init_from:
        inherit_card(config.training.init_from, preset)


XTTS_SYSTEM = System((dvae.STAGE, gpt.STAGE, decoder.STAGE), prepare, finish, complete)
