"""From a folder of clips to a trained voice: three stages, and what they leave.

Style embeddings of the speakers' clips, averaged; a projection to Kokoro's voice space, trained
through Kokoro; a voice of 510 rows for each speaker.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from myxtts.digests import file_sha256
from myxtts.files import check_writable, locked, writable_folder
from tools.kokoro.backends.interface import DifferentiableBackend
from tools.kokoro.backends.opening import open_backend
from tools.kokoro.device import usable_device
from tools.kokoro.resemblyzer_embedder import ResemblyzerEmbedder
from tools.kokoro.voice_sources import find_voices
from tools.styletts2_kokoro import outputs
from tools.styletts2_kokoro.config import TrainingConfig
from tools.styletts2_kokoro.dataset import Speaker, find_corpora, read_speakers
from tools.styletts2_kokoro.hearing import STYLETTS2, Hearing, open_speakers
from tools.styletts2_kokoro.judging import SCORE, Judges
from tools.styletts2_kokoro.one_pass import open_hearing
from tools.styletts2_kokoro.speaker_map import SpeakerMap
from tools.styletts2_kokoro.trackers import open_trackers
from tools.styletts2_kokoro.training import STATE, Embedder, Parts, Training

logger = logging.getLogger(__name__)


class VoiceTrainer:
    """Trains voices of the speakers in a folder.

    Args:
        backend: Kokoro, with gradients.
        embedder: whose cosine is trained by.
        hearing: who hears the clips.
        judge: speaker encoders that choose the epoch.
        speaker_map: for ``hearing``.
        voices: folder or archive of Kokoro's voices.
        config: all else.
    """

    def __init__(
        self,
        backend: DifferentiableBackend,
        embedder: Embedder,
        hearing: Hearing,
        judge: Hearing,
        speaker_map: SpeakerMap,
        voices: str | Path,
        config: TrainingConfig,
    ) -> None:
        self.backend, self.embedder, self.config = backend, embedder, config
        self.hearing, self.judge, self.map = hearing, judge, speaker_map
        self.space = speaker_map.space(voices)

    @classmethod
    def open(cls, config: TrainingConfig) -> VoiceTrainer:
        """As the settings say.

        Raises:
            ConfigError: the device is not there.
            WeightsError: weights of Kokoro, of an encoder or a map are not to be had.
            DataError: Kokoro's voices are not.
        """
        device = usable_device(config.device)
        hearing, speaker_map = open_hearing(config)
        judge = open_speakers() if STYLETTS2 in hearing.name else hearing
        voices = find_voices(config.voices or None)
        backend = open_backend("kmodel", config.weights or None, device)
        backend.seed, backend.precision = config.seed, config.precision
        embedder = ResemblyzerEmbedder(device=device)
        return cls(backend, embedder, hearing, judge, speaker_map, voices, config)

    def train(self, data: str | Path, out: str | Path, name: str, resume: bool) -> dict[str, Any]:
        """Train, and write everything to ``OUT/NAME``.

        Args:
            data: folder with ``train/`` and maybe ``validation/``.
            out: folder of all voices.
            name: of this one.
            resume: go on with the folder's earlier run.

        Returns:
            Paths, the best epoch and its likeness, that of epoch 0, and why it ``stopped``.

        Raises:
            DataError, AudioError: as :func:`~tools.styletts2_kokoro.dataset.read_speakers`.
            CheckpointError: the folder cannot be written or is another process's, or its run
                cannot be resumed.
        """
        folder = writable_folder(Path(out) / name)
        with locked(folder):
            return self._train(folder, data, out, name, resume)

    def _train(
        self, folder: Path, data: str | Path, out: str | Path, name: str, resume: bool
    ) -> dict[str, Any]:
        began = time.monotonic()
        speakers = read_speakers(data, self.hearing, self.config)
        names = outputs.voice_names(name, [one.name for one in speakers])
        training = self._training(speakers, folder)
        if resume:
            training.resume()
        else:
            (folder / STATE).unlink(missing_ok=True)
        trackers = open_trackers(self.config, folder, name)
        stopped = training.run(trackers)
        trackers.close()
        voices = self._write_voices(training, Path(out), names)
        result = self._result(training, folder, voices, stopped)
        self._write_rest(training, folder, result)
        logger.info(outputs.verdict(result))
        return {**result, "seconds": round(time.monotonic() - began, 2)}

    def _training(self, speakers: Sequence[Speaker], folder: Path) -> Training:
        judges = Judges(self.backend, self.space, self.judge, speakers)
        parts = Parts(self.backend, self.embedder, judges, self.space, self.map)
        return Training(parts, speakers, self.config, folder)

    def _write_voices(self, training: Training, out: Path, names: Sequence[str]) -> list[str]:
        best = training.best()
        texts = outputs.sentence_phonemes(training.speakers, self.config.language)
        written = []
        for name, style in zip(names, training.styles, strict=True):
            voice = self.space.pack(best.coordinates(style))
            written.append(str(outputs.write_voice(out, name, voice, self.backend, texts)))
        return written

    def _result(
        self, training: Training, folder: Path, voices: list[str], stopped: str
    ) -> dict[str, Any]:
        best = training.best_epoch
        return {
            "output_dir": str(folder),
            "voices": voices,
            "artifacts": str(folder / f"{folder.name}_artifacts.pt"),
            "report": str(folder / f"{folder.name}_report.md"),
            "epochs": training.epoch,
            "best_epoch": best,
            "likeness_start": round(training.history[0][SCORE], 6),
            "likeness_best": round(training.history[best][SCORE], 6),
            "heard_by": self.hearing.name,
            "trained_by": self.embedder.name,
            "judged_by": self.judge.name,
            "backend": self.backend.name,
            "device": self.backend.device,
            "stopped": stopped,
        }

    def _write_rest(self, training: Training, folder: Path, result: dict[str, Any]) -> None:
        names = [one.name for one in training.speakers]
        scores = {
            "best_epoch": training.best_epoch,
            "history": training.history,
            "speakers": self._speaker_scores(training),
        }
        outputs.write_artifacts(
            Path(result["artifacts"]),
            self.config,
            training.best(),
            dict(zip(names, training.styles, strict=True)),
            scores,
            self._provenance(result["voices"]),
        )
        picture = folder / f"{folder.name}_scores.png"
        outputs.draw_scores(picture, training.history, training.best_epoch)
        outputs.write_report(Path(result["report"]), picture, result, scores)

    def _speaker_scores(self, training: Training) -> list[dict[str, Any]]:
        judges, best = training.parts.judges, training.best()
        start = [best.gain * self.map.coordinates(style) for style in training.styles]
        after = [best.coordinates(style) for style in training.styles]
        before, now = judges.by_speaker(np.stack(start)), judges.by_speaker(np.stack(after))
        return [
            {
                "speaker": one.name,
                "clips": len(one.train),
                "judging": len(one.validation),
                "start": start,
                "best": best,
            }
            for one, start, best in zip(training.speakers, before, now, strict=True)
        ]

    def _provenance(self, voices: Sequence[str]) -> dict[str, Any]:
        return {
            "kokoro": self.backend.provenance,
            "encoders": {**self.hearing.provenance, **self.judge.provenance},
            "map": str(self.map.record.get("sha256", "")),
            "voices": {Path(path).name: file_sha256(path) for path in voices},
        }


def check_inputs(data: str | Path, out: str | Path, name: str, config: TrainingConfig) -> None:
    """Refuse bad input before anything large is loaded.

    Raises:
        ConfigError, DataError, CheckpointError: as :meth:`VoiceTrainer.train` would.
    """
    outputs.check_name(name)
    usable_device(config.device)
    find_corpora(data)
    check_writable(Path(out) / name / f"{name}.pt")
