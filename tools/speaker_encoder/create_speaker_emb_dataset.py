"""Embed every recording of a corpus, and every speaker.

    python tools/speaker_encoder/create_speaker_emb_dataset.py --model_name ecapa \\
        --dataset_name LibriTTS --dataset_dir DIR

Beside each recording comes NAME.MODEL_embedding, in each speaker's folder
SPEAKER.MODEL_averaged_embedding: files of torch with one float32 tensor (1, size).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from myxtts.errors import AudioError, ConfigError, DataError, WeightsError
from myxtts.files import check_writable, replacing, write_whole
from myxtts.flags import make_parser, run
from myxtts.wavlm_config import WAVLM_NAMES
from tools.speaker_encoder.device import DEVICES, use

logger = logging.getLogger(__name__)

MODELS = {"ecapa": "ecapa_tdnn", **{name: name for name in WAVLM_NAMES}}
MODELS |= {"resemblyzer": "resemblyzer", "coqui": "coqui"}


def parser() -> argparse.ArgumentParser:
    parser = make_parser("create_speaker_emb_dataset.py", __doc__, json=True)
    add = parser.add_argument
    add("--model_name", "--model-name", required=True, choices=MODELS, help="what embeds")
    add(
        "--dataset_name",
        "--dataset-name",
        required=True,
        choices=("VCTK", "LibriTTS"),
        help="layout: VCTK has wav48*/SPEAKER/FILE or wav/SPEAKER/FILE, "
        "LibriTTS SPEAKER/CHAPTER/FILE",
    )
    add("--dataset_dir", "--dataset-dir", required=True, metavar="DIR", help="top of the corpus")
    add("--model_device", "--model-device", choices=DEVICES, default="best", help="(default: best)")
    add(
        "--checkpoint",
        metavar="PATH",
        help="weights instead of the published ones: the upstream's file or folder, or a preset "
        "of train_encoder.py",
    )
    add(
        "--batch-size", type=int, default=16, metavar="N", help="recordings at a time (default: 16)"
    )
    add(
        "--renormalise-averages",
        action="store_true",
        help="bring averages to length one (default: the plain mean of embeddings of length one)",
    )
    add(
        "--format",
        choices=("torch", "npz"),
        default="torch",
        help="torch: a file for each recording, which a later call completes; npz: one file for "
        "the corpus (default: torch)",
    )
    add("--overwrite", action="store_true", help="embed again what has been embedded")
    return parser


@dataclass(frozen=True)
class Place:
    """Where embeddings of a corpus lie.

    Attributes:
        top: of the corpus.
        model: name in the files' names.
    """

    top: Path
    model: str

    def of(self, recording) -> Path:
        """File of a recording's embedding."""
        return recording.path.with_suffix(f".{self.model}_embedding")

    def average(self, folder: Path) -> Path:
        """File of a speaker's."""
        return folder / f"{folder.name}.{self.model}_averaged_embedding"

    @property
    def index(self) -> Path:
        """What says which weights made them, and what was left out."""
        return self.top / f"{self.model}_embeddings.json"

    @property
    def archive(self) -> Path:
        """The one file of ``--format npz``."""
        return self.top / f"{self.model}_embeddings.npz"


def main(args: argparse.Namespace) -> None:
    """Embed what has not been embedded yet, write all, and say what was left out."""
    use(args.model_device)
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size must be at least 1, not {args.batch_size}.")
    recordings = find(args)
    place = Place(Path(args.dataset_dir), args.model_name)
    # What cannot be written should be known before the long work.
    check_writable(place.index, DataError)
    verifier = make_verifier(args)
    require_same_weights(place, verifier.provenance, args.overwrite)
    left_out: dict[str, str] = {}
    recordings = without_twins(recordings, place, left_out)
    found = embeddings(args, recordings, verifier, place, left_out)
    if not found:
        raise DataError(f"{args.dataset_dir}: no recording could be embedded; {first(left_out)}")
    averages = write_averages(args, recordings, found, place)
    for path, reason in left_out.items():
        logger.warning("left out: %s (%s)", path, reason)
    result = {
        "embeddings": len(found),
        "speakers": len(averages),
        "size": int(next(iter(found.values())).shape[-1]),
        "provenance": verifier.provenance,
        "renormalised_averages": args.renormalise_averages,
        "left_out": left_out,
    }
    write_whole(place.index, json.dumps(result, indent=1) + "\n", DataError)
    print(json.dumps(result) if args.json else report(result, place))


def find(args: argparse.Namespace) -> list:
    """Recordings of the corpus.

    Raises:
        DataError: it is not of that layout, or empty.
    """
    from myxtts.data.speakers import VCTK_FOLDERS, find_recordings

    top = Path(args.dataset_dir)
    parts = [name for name in VCTK_FOLDERS if (top / name).is_dir()]
    if args.dataset_name == "VCTK" and top.is_dir() and not parts:
        raise DataError(f"{top} holds none of {', '.join(VCTK_FOLDERS)}, which VCTK has.")
    return find_recordings(top, "any")


def make_verifier(args: argparse.Namespace):
    """What reads and embeds, with the weights that were asked for."""
    from myxtts.verification.verifier import SpeakerVerifier
    from myxtts.weights.speaker_encoders import pretrained_speaker_encoder

    encoder = pretrained_speaker_encoder(MODELS[args.model_name], args.checkpoint)
    logger.info("weights: %s", encoder.provenance)
    if not getattr(encoder.sizes, "head", True):
        logger.warning(
            "%s has no speaker head: its mean over frames tells speakers apart badly; train it "
            "with train_encoder.py and give the preset as --checkpoint.",
            args.model_name,
        )
    return SpeakerVerifier(encoder)


def require_same_weights(place: Place, provenance: str, overwrite: bool) -> None:
    """Raise ConfigError where embeddings of other weights lie under the same name."""
    if overwrite or not place.index.is_file():
        return
    from myxtts.files import read_object

    stored = read_object(place.index, DataError, "is damaged").get("provenance")
    if stored != provenance:
        raise ConfigError(
            f"{place.index} tells of embeddings by other weights ({stored}); give --overwrite to "
            "make them anew."
        )


def without_twins(recordings: list, place: Place, left_out: dict[str, str]) -> list:
    """Recordings whose embeddings would not overwrite one another's."""
    kept: dict[Path, object] = {}
    for item in recordings:
        if place.of(item) in kept:
            left_out[str(item.path)] = f"has the name of {kept[place.of(item)].path.name}"
        else:
            kept[place.of(item)] = item
    return list(kept.values())


def embeddings(args, recordings, verifier, place: Place, left_out: dict[str, str]) -> dict:
    """Embeddings ``(1, size)`` by recordings' paths; those of torch are written as they come."""
    from tqdm import tqdm

    from myxtts.audio.decoding import duration
    from myxtts.weights.torch_tensor import write_tensor

    keep = args.format == "torch" and not args.overwrite
    size = verifier.encoder.embedding_dim
    known = {item.path: made_before(place.of(item), size) for item in recordings if keep}
    done = {path: row for path, row in known.items() if row is not None}
    open_ = sorted(
        (item for item in recordings if item.path not in done), key=lambda r: duration(r.path)
    )
    if done:
        logger.info("%d of %d recordings have been embedded before", len(done), len(recordings))
    with tqdm(total=len(open_), desc="embedding", unit="file", disable=None) as bar:
        for start in range(0, len(open_), args.batch_size):
            batch = [item.path for item in open_[start : start + args.batch_size]]
            made = embed(verifier, batch, left_out)
            for item in open_[start : start + args.batch_size]:
                if item.path in made and args.format == "torch":
                    write_tensor(place.of(item), made[item.path], DataError)
            done |= made
            bar.update(len(batch))
    return done


def made_before(path: Path, size: int) -> np.ndarray | None:
    """The embedding ``(1, size)`` that an earlier call wrote, None where none can be used."""
    from myxtts.weights.torch_tensor import read_tensor

    if not path.is_file():
        return None
    try:
        row = read_tensor(path)
    except WeightsError as error:
        logger.warning("%s It is made anew.", error)
        return None
    if row.shape == (1, size) and np.isfinite(row).all():
        return row
    logger.warning("%s holds no %d finite numbers; it is made anew.", path, size)
    return None


def embed(verifier, paths: list[Path], left_out: dict[str, str]) -> dict[Path, np.ndarray]:
    """Embeddings of a batch; a file that cannot be used is left out alone."""
    try:
        rows = verifier.embed(paths, batch_size=len(paths))
        return {path: row[None] for path, row in zip(paths, rows, strict=True)}
    except AudioError as error:
        if len(paths) == 1:
            left_out[str(paths[0])] = str(error)
            return {}
    made: dict[Path, np.ndarray] = {}
    for path in paths:
        made |= embed(verifier, [path], left_out)
    return made


def write_averages(args, recordings: list, found: dict, place: Place) -> dict[Path, np.ndarray]:
    """The mean of each speaker, by the speaker's folder."""
    from myxtts.weights.torch_tensor import write_tensor

    members: dict[Path, list[np.ndarray]] = {}
    for item in recordings:
        if item.path in found:
            members.setdefault(folder_of(item, place.top), []).append(found[item.path])
    averages = {folder: np.mean(rows, axis=0) for folder, rows in members.items()}
    if args.renormalise_averages:
        averages = {folder: mean / np.linalg.norm(mean) for folder, mean in averages.items()}
    if args.format == "torch":
        for folder, mean in averages.items():
            write_tensor(place.average(folder), mean, DataError)
    else:
        write_archive(place, recordings, found, averages)
    return averages


def folder_of(recording, top: Path) -> Path:
    """A speaker's folder: the first on the way to the recording that is called so."""
    inside = recording.path.relative_to(top).parts
    return top.joinpath(*inside[: inside.index(recording.speaker) + 1])


def write_archive(place: Place, recordings: list, found: dict, averages: dict) -> None:
    """All embeddings, files and speakers in one NPZ without pickles."""
    known = [item for item in recordings if item.path in found]
    with replacing(place.archive, DataError) as fresh, fresh.open("wb") as file:
        np.savez(
            file,
            embeddings=np.concatenate([found[item.path] for item in known]),
            files=np.array([str(item.path.relative_to(place.top)) for item in known]),
            speakers=np.array([item.speaker for item in known]),
            averages=np.concatenate(list(averages.values())),
            averaged_speakers=np.array([folder.name for folder in averages]),
        )


def first(left_out: dict[str, str]) -> str:
    """The first reason, as the end of a sentence."""
    return next(iter(left_out.values()), "there is none.")


def report(result: dict, place: Place) -> str:
    """What a person wants to know."""
    return "\n".join(
        [
            f"embeddings   {result['embeddings']} of {result['size']} numbers",
            f"speakers     {result['speakers']}",
            f"left out     {len(result['left_out'])}",
            f"weights      {result['provenance']}",
            f"listed in    {place.index}",
        ]
    )


if __name__ == "__main__":
    sys.exit(run(main, parser()))
