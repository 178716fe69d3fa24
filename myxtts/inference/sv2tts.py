"""SV2TTS in one call: a voice is heard, a text becomes a mel in that voice, and a waveform.

Transfer learning from speaker verification to multispeaker text-to-speech (Jia et al. 2018), with
the three models of Real-Time-Voice-Cloning (RTVC) or those trained here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myxtts.audio.io import check_samples, read_audio, resample
from myxtts.audio.silences import has_detector, raised_volume, trim_silences
from myxtts.errors import AudioError, CheckpointError, ConfigError, TextError, WeightsError
from myxtts.generation.vocoders import GRIFFIN_LIM, Vocoder, open_vocoder
from myxtts.generation.wavernn import Weights
from myxtts.inference.spectrograms import PAUSE_FRAMES, SILENCE, SpectrogramSynthesizer
from myxtts.models.mel_hifigan import KIND as HIFIGAN
from myxtts.models.resemblyzer import RTVC_STEP, ResemblyzerEncoder
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.presets.record import MANIFEST, kind_of
from myxtts.timing import SPEAKER_RATE
from myxtts.weights.rtvc_encoder import NORM_EPSILON, open_encoder

logger = logging.getLogger(__name__)

# Kinds of models as presets call them, what a sentence calls them, and RTVC's files of them.
ENCODER, SYNTHESIZER, VOCODER = "speaker_encoder", "synthesizer", "vocoder"
TOLD = {
    ENCODER: "speaker encoder",
    SYNTHESIZER: "synthesizer",
    VOCODER: "vocoder",
    HIFIGAN: "vocoder",
}
FILES = {ENCODER: "encoder.pt", SYNTHESIZER: "synthesizer.pt", VOCODER: "vocoder.pt"}
PUBLISHED = "https://huggingface.co/CorentinJ/SV2TTS"
HIGHEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Spoken:
    """A text that was said.

    Attributes:
        waveform: float32 ``(samples,)``.
        sample_rate: of it, in Hz.
        mel: float32 ``(mels, frames)`` that it was made of.
        flags: what the attention showed to be wrong, after all attempts; empty at best.
    """

    waveform: np.ndarray
    sample_rate: int
    mel: np.ndarray
    flags: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.waveform) / self.sample_rate


class VoiceCloner:
    """Encoder, synthesizer and vocoder, opened once; every call is repeatable by its seed.

    Args:
        encoder: of speakers, waveforms at 16 kHz to embeddings.
        synthesizer: texts and embeddings to mels.
        vocoder: mels to waveforms.

    Raises:
        ConfigError: they do not fit one another.
    """

    def __init__(
        self, encoder: ResemblyzerEncoder, synthesizer: SpectrogramSynthesizer, vocoder: Vocoder
    ):
        self.encoder, self.synthesizer, self.vocoder = encoder, synthesizer, vocoder
        self.sample_rate = vocoder.sample_rate
        sizes = synthesizer.model.config
        if encoder.embedding_dim != sizes.speaker_dims:
            raise ConfigError(
                f"the speaker encoder gives embeddings of {encoder.embedding_dim} numbers, the "
                f"synthesizer wants {sizes.speaker_dims}."
            )
        if vocoder.n_mels != sizes.n_mels:
            raise ConfigError(
                f"the synthesizer makes mels of {sizes.n_mels} channels, the vocoder wants "
                f"{vocoder.n_mels}."
            )

    @classmethod
    def open(
        cls,
        encoder: str | Path,
        synthesizer: str | Path,
        vocoder: str | Path = GRIFFIN_LIM,
        plain: bool = False,
        weights: Weights = "float32",
        symbols: tuple[str, ...] | None = None,
        dropout: bool | None = None,
    ) -> VoiceCloner:
        """Open three models.

        Args:
            encoder, synthesizer, vocoder: each a ``.pt`` of RTVC, a preset folder, a run folder,
                or a folder with RTVC's file in it; the vocoder ``griffin_lim`` too.
            plain: speak as RTVC does: a text whole, once and without context, with its vocoder's
                quiet seams.
            weights: that a WaveRNN computes with.
            symbols: of a ``synthesizer.pt`` that reads others than RTVC's.
            dropout: of the synthesizer's pre-nets in speech; as the model says when None.

        Raises:
            WeightsError: a file is missing, damaged or of another kind.
            CheckpointError: a folder holds no such model.
            ConfigError: the models do not fit one another.
        """
        # What is missing is told before anything is read.
        places = [locate(encoder, ENCODER), locate(synthesizer, SYNTHESIZER)]
        if str(vocoder) != GRIFFIN_LIM:
            vocoder = locate(vocoder, VOCODER)
        speaker = _open_encoder(places[0])
        texts = SpectrogramSynthesizer.open(places[1], symbols, plain=plain, dropout=dropout)
        return cls(speaker, texts, open_vocoder(vocoder, honest=not plain, weights=weights))

    def embed(self, reference: str | Path | np.ndarray, sample_rate: int | None = None):
        """Embedding float32 ``(dim,)``, of length one, of who is heard.

        Args:
            reference: a recording's path, or float ``(samples,)``.
            sample_rate: of samples, in Hz.

        Raises:
            AudioError: as :func:`hear` says.
        """
        wave = hear(reference, sample_rate)
        return np.asarray(self.encoder(wave[None]))[0].astype("float32")

    def speak(self, text: str, embedding: np.ndarray, seed: int = 0, trim: bool = True) -> Spoken:
        """Say a text; its lines are parted by pauses.

        Args:
            text: any, however long or short.
            embedding: of :meth:`embed`.
            seed: of all that is drawn, from 0; the same one gives the same samples.
            trim: raise the volume of quiet speech to -30 dBFS and cut long silences out, as RTVC's
                demo does with what it made.

        Raises:
            TextError: nothing of it can be spoken.
            AudioError: the synthesizer ended before it made a sound.
            ConfigError: the embedding is of another size, or the seed out of its range.
        """
        if not 0 <= seed <= HIGHEST_SEED:
            raise ConfigError(f"the seed must be in 0..{HIGHEST_SEED}, not {seed}.")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise TextError("the text is empty: there is nothing to be spoken.")
        # A row of dashes between two paragraphs is no reason to say neither.
        lines = [line for line in lines if any(map(str.isalnum, line))] or lines
        mels = self.synthesizer.synthesize(lines, embedding, seed)
        flags = sorted({
            flag for takes in self.synthesizer.takes for take in takes for flag in take.flags
        })  # fmt: skip
        mel = _joined(mels)
        wave = self.vocoder.vocode(mel, seed)
        if trim:
            wave = tidied(wave, self.sample_rate)
        return Spoken(wave.astype("float32"), self.sample_rate, mel, tuple(flags))


def hear(reference: str | Path | np.ndarray, sample_rate: int | None = None) -> np.ndarray:
    """A recording as the encoder is given it: float32 ``(samples,)`` at 16 kHz.

    As in RTVC it is brought to -30 dBFS where it is quieter, and long silences are cut out where
    ``webrtcvad`` is installed.

    Args:
        reference: a path, or float ``(samples,)``.
        sample_rate: of samples, in Hz.

    Raises:
        AudioError: it cannot be read, is silent, or has no speech.
        ConfigError: samples come without their rate.
    """
    name = "the reference"
    if isinstance(reference, np.ndarray):
        if not sample_rate:
            raise ConfigError("samples need their sample_rate.")
        if reference.ndim != 1:
            raise AudioError(f"a reference has one axis, this one is {reference.shape}.")
        check_samples(reference, name)
        wave = resample(reference, sample_rate, SPEAKER_RATE)
    else:
        name = str(reference)
        wave, _ = read_audio(reference, SPEAKER_RATE)
    if not np.any(wave):
        raise AudioError(f"{name} is silent.")
    wave = raised_volume(wave)
    if has_detector():
        wave = trim_silences(wave)
    else:
        logger.warning("webrtcvad is not installed: silences stay in what is heard of a voice.")
    if not len(wave):
        raise AudioError(f"{name} has no speech: nothing is left without its silences.")
    return wave


def tidied(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """``wave`` no quieter than -30 dBFS and without long silences, as RTVC's demo keeps it.

    The detector hears 16 kHz: of other rates only the volume is looked at. A wave that is all
    silence to it stays as it is.
    """
    if not np.any(wave):
        return wave
    if sample_rate != SPEAKER_RATE or not has_detector():
        return raised_volume(wave)
    # RTVC's second of silence, which counts in the volume; the detector cuts it off.
    louder = raised_volume(np.pad(wave, (0, sample_rate)))
    kept = trim_silences(louder)
    return kept if len(kept) else louder[: len(wave)]


def locate(name: str | Path, kind: str) -> Path:
    """File or preset folder of a model of this kind.

    Args:
        name: of the file, or of a folder: a preset's, a run's, or one with RTVC's file. A run
            has a preset where it came to its end, and a newer file where it went on behind that.
        kind: ``speaker_encoder``, ``synthesizer`` or ``vocoder``.

    Raises:
        WeightsError: there is nothing of that name.
        CheckpointError: the folder holds no model of that kind.
    """
    path = Path(name)
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError(
            f"no {TOLD[kind]} {name}: a {FILES[kind]} of Real-Time-Voice-Cloning ({PUBLISHED} has "
            "its own), a preset or a run folder is wanted."
        )
    presets = [place for place in (path / "preset", path) if (place / MANIFEST).is_file()]
    kinds = {place: kind_of(place) for place in presets}
    wanted = (VOCODER, HIFIGAN) if kind == VOCODER else (kind,)
    fitting = [place for place in presets if kinds[place] in wanted]
    if (file := path / FILES[kind]).is_file():
        own = path / "preset"
        newer = own in fitting and _written(file) > _written(own / MANIFEST)
        fitting.insert(0 if newer else len(fitting), file)
    if fitting:
        return fitting[0]
    held = f"a {TOLD.get(kinds[presets[0]], kinds[presets[0]])}" if presets else "none"
    raise CheckpointError(f"{name} holds {held} where a {TOLD[kind]} is wanted.")


def _written(path: Path) -> float:
    return path.stat().st_mtime


def _open_encoder(path: Path) -> ResemblyzerEncoder:
    if path.is_file():
        return open_encoder(path)
    preset = PretrainedSpeakerEncoder.from_preset(path)
    if preset.encoder_type != "resemblyzer":
        raise WeightsError(
            f"{path} is a speaker encoder of type {preset.encoder_type!r}; SV2TTS hears with "
            "RTVC's, which is 'resemblyzer'."
        )
    # The preset says the network; these two are how RTVC uses it.
    preset.encoder.partial_step, preset.encoder.epsilon = RTVC_STEP, NORM_EPSILON
    return preset.encoder


def _joined(mels: list[np.ndarray]) -> np.ndarray:
    """Mels ``(mels, frames)`` with a pause between two."""
    pause = np.full((len(mels[0]), PAUSE_FRAMES), SILENCE, "float32")
    return np.concatenate([part for mel in mels for part in (pause, mel)][1:], axis=1)
