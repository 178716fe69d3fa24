"""Mels with their recordings in the layout of Real-Time-Voice-Cloning, and crops of both.

A synthesizer's folder has ``train.txt``, ``audio`` and ``mels``; a vocoder's ``synthesized.txt``
and ``mels_gta``, what the synthesizer makes of the recordings' own mels. A line of either table is
``audio file|mel file|embed file|samples|mel frames|text``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myxtts.audio.companding import encode_linear, encode_mu_law, from_classes, preemphasised
from myxtts.data.batches import Builder
from myxtts.data.corpus import held_out
from myxtts.data.rtvc_folders import array_problem, load_array
from myxtts.data.screening import Report
from myxtts.data.substitutes import Substitutes
from myxtts.data.synthesizer import TABLE, read_table
from myxtts.errors import DataError
from myxtts.vocoder_config import (
    MEL_SCALE,
    HifiGanConfig,
    HifiGanSettings,
    VocoderConfig,
    VocoderDataConfig,
    WaveRNNConfig,
)

SYNTHESIZED = "synthesized.txt"
AUDIO, MELS, SYNTHESIZED_MELS = "audio", "mels", "mels_gta"
Sizes = WaveRNNConfig | HifiGanConfig
# MOL models samples of 16 bits.
MOL_BITS = 16
# Samples a mel frame that recordings may have, as a multiple of the vocoder's: mels may end early.
LONGEST_HOP = 1.15


@dataclass(frozen=True)
class Row:
    """An utterance of a table: its files, how many mel frames it has and how many samples."""

    audio: Path
    mel: Path
    frames: int
    samples: int


def read_rows(table: str | Path, audio: str | Path, mels: str | Path) -> list[Row]:
    """Rows of a table in its order, those without frames left out.

    Args:
        table: ``train.txt`` or ``synthesized.txt``.
        audio, mels: folders of the files that it names.

    Raises:
        DataError: it cannot be read, or a line is none of such a table.
    """
    lines = read_table(table)
    return [
        Row(Path(audio) / line.audio, Path(mels) / line.mel, line.frames, line.samples)
        for line in lines
    ]


def least_frames(sizes: Sizes, data: VocoderDataConfig) -> int:
    """Mel frames that an utterance needs for a crop."""
    return data.crop_frames + 4 * sizes.pad + 3


def open_vocoder_data(
    folder: str | Path, data: VocoderDataConfig, sizes: Sizes
) -> tuple[VocoderCorpus, Report]:
    """Utterances below a synthesizer's folder that a vocoder can learn from.

    Args:
        folder: of the synthesizer's data.
        data: where the mels come from.
        sizes: of the vocoder.

    Raises:
        DataError: the folders are not as they should be, or no utterance is long enough.
    """
    folder = Path(folder)
    if data.ground_truth:
        table, mels = folder / TABLE, folder / MELS
    else:
        own = Path(data.vocoder_dir) if data.vocoder_dir else folder.parent / "vocoder"
        table, mels = own / SYNTHESIZED, own / SYNTHESIZED_MELS
    rows, report = read_rows(table, folder / AUDIO, mels), Report(str(folder))
    least, kept = least_frames(sizes, data), []
    for row in rows:
        reason = _unfit(row, least, sizes)
        if reason:
            report.skipped.append((str(row.mel), reason))
        else:
            kept.append(row)
    report.kept = len(kept)
    report.seconds = sum(row.frames for row in kept) * sizes.hop_length / sizes.sample_rate
    if not kept:
        told = f" ({report.reasons()}; first {report.skipped[0][1]})" if report.skipped else ""
        raise DataError(
            f"{table} names no utterance that a vocoder can learn from: {least} mel frames are "
            f"the least{told}."
        )
    _check_hop(table, kept, sizes.hop_length)
    return VocoderCorpus(kept, sizes, data.crop_frames), report


class VocoderCorpus:
    """Utterances as examples.

    Args:
        rows: long enough for a crop.
        sizes: of the vocoder.
        crop_frames: mel frames of a crop.

    Attributes:
        lengths: int64 ``(utterances,)``, in mel frames.
        speakers: zeros; a vocoder asks for none.
        substitutes: who stands in for utterances that turn out to be damaged.
    """

    def __init__(self, rows: Sequence[Row], sizes: Sizes, crop_frames: int):
        self.rows, self.sizes, self.crop_frames = list(rows), sizes, crop_frames
        self.lengths = np.array([row.frames for row in rows], "int64")
        self.speakers = np.zeros(len(rows), "int32")
        self.substitutes = Substitutes(self._following)

    def _following(self, index: int) -> list[int]:
        """All others, from the next one on."""
        return [(index + step) % len(self) for step in range(1, len(self))]

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, every: int) -> tuple[VocoderCorpus, VocoderCorpus]:
        """All but every so many-th utterance, and those; one utterance alone is both."""
        if len(self) < 2:
            return self, self
        return tuple(
            VocoderCorpus(part, self.sizes, self.crop_frames) for part in held_out(self.rows, every)
        )

    def mel(self, index: int) -> np.ndarray:
        """Mel float32 ``(frames, feat_dims)`` in [-1, 1].

        Raises:
            DataError: the file cannot be read, or holds another mel.
        """
        row = self.rows[index]
        mel = load_array(row.mel, 2)
        if mel.shape[1] != self.sizes.feat_dims or len(mel) < row.frames:
            raise DataError(
                f"{row.mel} holds an array of {mel.shape}; ({row.frames}, {self.sizes.feat_dims}) "
                "is wanted."
            )
        return (mel[: row.frames] / MEL_SCALE).astype("float32")

    def wave(self, index: int) -> np.ndarray:
        """What the vocoder says of it, ``(frames * hop_length,)``: pre-emphasised, in [-1, 1].

        Raises:
            DataError: the file cannot be read, or is too short for its mel.
        """
        row, hop = self.rows[index], self.sizes.hop_length
        audio = np.clip(preemphasised(load_array(row.audio, 1), self.sizes.preemphasis), -1, 1)
        audio = np.pad(audio, (0, (len(audio) // hop + 1) * hop - len(audio)))
        if len(audio) < row.frames * hop:
            raise DataError(
                f"{row.audio} has {len(audio)} samples, too few for a mel of {row.frames} frames."
            )
        return audio[: row.frames * hop]

    def labels(self, index: int) -> np.ndarray:
        """The same as classes, int64; of MOL as the integers of 16 bits."""
        wave = self.wave(index)
        if self.sizes.mode == "MOL":
            return encode_linear(wave, MOL_BITS).astype("int64")
        if self.sizes.mu_law:
            return encode_mu_law(wave, 2**self.sizes.bits)
        return encode_linear(wave, self.sizes.bits).astype("int64")

    def offsets(self, index: int) -> int:
        """At how many mel frames a crop can begin."""
        return int(self.lengths[index]) - (self.crop_frames + 4 * self.sizes.pad + 2)

    def crop(self, index: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
        """Mel ``(crop_frames + 2 * pad, feat_dims)`` and the labels of its inner frames.

        There is one label more, the first: of the sample before.
        """
        sizes = self.sizes
        mel = self.mel(index)[offset : offset + self.crop_frames + 2 * sizes.pad]
        start = (offset + sizes.pad) * sizes.hop_length
        return mel, self.labels(index)[start : start + self.crop_frames * sizes.hop_length + 1]

    def segment(self, index: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
        """Mel ``(crop_frames, feat_dims)`` and its waveform ``(crop_frames * hop_length,)``."""
        size, hop = self.crop_frames, self.sizes.hop_length
        mel = self.mel(index)[offset : offset + size]
        return mel, self.wave(index)[offset * hop : (offset + size) * hop]


def crops(corpus: VocoderCorpus, config: VocoderConfig) -> Builder:
    """Builder of batches of crops, drawn of the seed, the epoch and the utterance.

    It gives ``samples`` float32 ``(batch, samples)``, ``targets`` of the same shape (int32
    classes; float32 samples for MOL) and ``mels`` ``(batch, crop_frames + 2 * pad, feat_dims)``.
    Another utterance stands in for one that is damaged.
    """

    def build(indices: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
        parts = _drawn(corpus, config.training.seed, epoch, indices, corpus.crop)
        return batch(parts, corpus.sizes)

    return build


def segments(corpus: VocoderCorpus, config: HifiGanSettings) -> Builder:
    """As :func:`crops`, of ``mels`` ``(batch, crop_frames, feat_dims)`` and their ``wave``.

    The latter is float32 ``(batch, crop_frames * hop_length)``.
    """

    def build(indices: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
        parts = _drawn(corpus, config.training.seed, epoch, indices, corpus.segment)
        mels, waves = (np.stack(part).astype("float32") for part in zip(*parts, strict=True))
        return {"mels": mels, "wave": waves}

    return build


def _drawn(
    corpus: VocoderCorpus, seed: int, epoch: int, indices: np.ndarray, cut: Callable
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What ``cut`` makes of each utterance at an offset that is drawn."""
    parts = []
    for index in indices.tolist():

        def one(place: int, own: int = index) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng([seed, epoch, own])
            return cut(place, int(rng.integers(corpus.offsets(place))))

        parts.append(corpus.substitutes.read(index, one))
    return parts


def batch(parts: Sequence[tuple[np.ndarray, np.ndarray]], sizes: WaveRNNConfig) -> dict:
    """Crops as the arrays of a batch, see :func:`crops`."""
    mels, labels = (np.stack(part) for part in zip(*parts, strict=True))
    bits = MOL_BITS if sizes.mode == "MOL" else sizes.bits
    values = from_classes(labels, bits).astype("float32")
    targets = values if sizes.mode == "MOL" else labels.astype("int32")
    return {"samples": values[:, :-1], "targets": targets[:, 1:], "mels": mels}


def _check_hop(table: Path, rows: Sequence[Row], hop: int) -> None:
    """Raise DataError where the recordings are far longer than a vocoder would make of the mels.

    What is shorter is found row by row; the surplus of a mel with a longer hop would be cut off,
    and the vocoder would learn from the wrong samples.
    """
    frames, samples = sum(row.frames for row in rows), sum(row.samples for row in rows)
    if samples > LONGEST_HOP * hop * frames:
        raise DataError(
            f"{table}: its recordings have {samples / frames:.0f} samples a mel frame, and the "
            f"vocoder makes {hop}; take mels of hop_length {hop}, or give the vocoder other "
            "upsample factors."
        )


def _unfit(row: Row, least: int, sizes: Sizes) -> str | None:
    if row.frames < least:
        return f"too short: {row.frames} mel frames"
    # Of the last frame, what is missing is taken as silence.
    samples = (row.frames - 1) * sizes.hop_length
    return array_problem(row.mel, 2, row.frames, sizes.feat_dims) or array_problem(
        row.audio, 1, samples
    )
