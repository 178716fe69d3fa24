"""What can be known of a call before its model is read: minutes are not spent for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from myxtts.config import SynthesisConfig, XTTSConfig
from myxtts.errors import TextError
from myxtts.generation.references import read_reference, reference_files
from myxtts.generation.vocoding import choose_vocoder
from myxtts.inference.int8_engine import choose_threads, load_kernels
from myxtts.inference.voice import Voice
from myxtts.models.decoder import KINDS
from myxtts.models.xtts import MAIN, TOKENIZER
from myxtts.presets.folder import check_file
from myxtts.presets.record import XTTS_KIND, read_record
from myxtts.text.cleaners import is_speakable
from myxtts.text.front_end import Reader
from myxtts.text.tokenizer import VoiceBpeTokenizer
from myxtts.weights.coqui_voices import is_voice_file, read_voices

# Of a long text; what its language needs to be read is seen on so much of it.
_TRIED = 200


def check_text(preset: Path, text: str, language: str, front_end: str = "none") -> None:
    """Read some of a text as the model of ``preset`` will, by this front-end.

    Raises:
        TextError: the model does not speak the language, nothing can be spoken, or the
            package that reads the language is missing.
        ConfigError: the model does not know the phonemes of a front-end.
        WeightsError: the front-end's package is missing.
        CheckpointError: the model's vocabulary is damaged or was changed.
    """
    check_file(preset / TOKENIZER)
    tokenizer = VoiceBpeTokenizer(preset / TOKENIZER)
    tokenizer.language_token(language)
    if not is_speakable(text):
        raise TextError(f"the text {text[:40]!r} has nothing that can be spoken.")
    Reader(tokenizer, front_end).count(text[:_TRIED], language)


def check_vocoder(preset: Path, config: XTTSConfig, wanted: str) -> str:
    """Name of the vocoder that the model of ``preset`` will speak with, asked for ``wanted``.

    Raises:
        ConfigError: the model has none of that name.
    """
    record = read_record(preset, XTTS_KIND)
    facts = SimpleNamespace(
        decoder=KINDS[config.model.decoder.kind],
        trained_steps=record.trained_steps,
        vocoder_errors=record.vocoder_errors,
    )
    return choose_vocoder(facts, wanted)


def check_engine(settings: SynthesisConfig, config: XTTSConfig) -> None:
    """See that the engine of ``settings`` can compute the steps of a model.

    Raises:
        ConfigError: numba is missing, or has fewer threads.
    """
    if settings.engine == "int8":
        load_kernels()
        choose_threads(settings.threads, config.model.gpt.model_dim)


def check_references(
    references: Sequence[str | Path], settings: SynthesisConfig, silence_db: float
) -> list[str | Path]:
    """Recordings, those in folders included, after they were read as the model will hear them.

    Raises:
        AudioError: one cannot be read, is silent or is too short.
    """
    files = reference_files(references)
    for reference in files:
        read_reference(reference, settings, silence_db)
    return files


def read_kept_voice(path: Path, speaker: str | None, preset: Path, config: XTTSConfig) -> Voice:
    """A voice from its file, for the model of ``preset``, which need not be there yet.

    Raises:
        CheckpointError: as :meth:`Voice.load`.
    """
    record = read_record(preset, XTTS_KIND)
    facts = SimpleNamespace(
        fingerprint=record.sha256[MAIN], quantised_from=record.quantised_from, config=config
    )
    return Voice.load(path, facts, speaker)


def voice_names(path: str | Path) -> list[str]:
    """Names in a file of several voices; none of another file.

    Raises:
        CheckpointError: it cannot be read.
    """
    return list(read_voices(path)) if is_voice_file(path) else []
