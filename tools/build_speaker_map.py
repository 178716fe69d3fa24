"""Learn the map from speaker embeddings to Kokoro's voice space anew, as it comes with the tools.

    python tools/build_speaker_map.py --clips kokoro54 --background sv_test/audio

Kokoro's voices are heard from recordings of them (``--clips``, a folder a voice), or Kokoro
speaks them here, which takes a while. ``--background`` holds recordings of real speakers. Equal
files give an equal map. What was heard is kept in ``--kept``, and a broken run goes on there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from myxtts.errors import ConfigError
from myxtts.flags import make_parser, refuse_unread, run

if TYPE_CHECKING:
    import numpy as np

    from tools.styletts2_kokoro.hearing import Hearing
    from tools.styletts2_kokoro.map_corpus import Heard

# By which predicted voices are moved away from the median, since what is told is shy. Of those
# that `benchmarks/styletts2_kokoro.py gains` tries, with it voices left out are spoken most alike.
GAIN = 1.5
CLIPS_EACH = 4
MOST_SPEAKERS = 1000
LICENCES = {
    "voices": "Kokoro-82M's voices, Apache-2.0",
    "clips": "speech of Kokoro-82M, Apache-2.0",
    "background": "LibriSpeech (Panayotov et al. 2015), CC BY 4.0; its mean alone is kept",
    "resemblyzer": "Resemblyzer's weights, Apache-2.0; none of them in the map",
    "ecapa": "SpeechBrain's spkrec-ecapa-voxceleb, Apache-2.0; none of them in the map",
    "styletts2": "StyleTTS2's weights: MIT, and speech is to be declared synthetic unless the "
    "speaker agreed; none of them are in the map",
}


def parser() -> argparse.ArgumentParser:
    from tools.styletts2_kokoro.hearing import BOTH, STYLETTS2
    from tools.styletts2_kokoro.speaker_map import SHIPPED

    parser = make_parser("build_speaker_map.py", __doc__, json=True)
    parser.add_argument("--clips", metavar="DIR", help="VOICE/*.ogg (default: Kokoro speaks)")
    parser.add_argument(
        "--background", required=True, metavar="DIR", help="recordings of real speakers"
    )
    parser.add_argument(
        "--background-list",
        metavar="FILE",
        default=str(SHIPPED / "background.txt"),
        help="their paths in DIR, one a line; '' for one of each folder (default: the map's own)",
    )
    parser.add_argument(
        "--clips-each", type=int, default=CLIPS_EACH, help="clips a voice (default: %(default)s)"
    )
    parser.add_argument("--gain", type=float, default=GAIN, help="(default: %(default)s)")
    parser.add_argument(
        "--hearing", choices=(BOTH, STYLETTS2), default=BOTH, help="(default: %(default)s)"
    )
    parser.add_argument("--style-weights", metavar="PATH", help="StyleTTS2's checkpoint")
    parser.add_argument("--voices", metavar="DIR", help="Kokoro's voices (default: found)")
    parser.add_argument("--kept", metavar="DIR", help="where to keep what was heard")
    parser.add_argument("--output", metavar="DIR", help="(default: with the tools)")
    return parser


def main(args: argparse.Namespace) -> None:
    """Hear, learn, write, and print the scores."""
    from tools.kokoro.voice_sources import find_voices
    from tools.kokoro.voices import load_voices
    from tools.styletts2_kokoro.speaker_map import save_maps

    if args.clips_each < 1 or args.gain <= 0:
        raise ConfigError("--clips-each and --gain must be above 0.")
    voices = dict(sorted(load_voices(find_voices(args.voices)).items()))
    hearing = open_hearing(args)
    heard, background = listen(args, hearing, voices)
    maps, scores = learn_all(hearing.name, voices, heard, background, args.gain)
    output = args.output or default_output(hearing)
    save_maps(output, maps, record(args, hearing, voices, heard, background, scores))
    result = {"output": str(output), "scores": scores}
    print(json.dumps(result) if args.json else report(result))


def open_hearing(args: argparse.Namespace) -> Hearing:
    """Who hears."""
    from tools.styletts2_kokoro.hearing import STYLETTS2, StyleHearing, open_speakers
    from tools.styletts2_kokoro.style_weights import find_style_weights

    if args.hearing != STYLETTS2:
        told = f"is for --hearing {STYLETTS2}; give that too."
        refuse_unread(args, parser(), {"--style-weights": told})
        return open_speakers(args.hearing)
    path = find_style_weights(args.style_weights)
    if path is None:
        raise ConfigError("StyleTTS2's weights are not on this machine; give --style-weights.")
    return StyleHearing(path)


def default_output(hearing: Hearing) -> Path:
    """With the tools; a map for weights of the user's own goes to the user's cache."""
    from tools.styletts2_kokoro.hearing import STYLETTS2
    from tools.styletts2_kokoro.speaker_map import SHIPPED, own_folder

    return own_folder(hearing.provenance[STYLETTS2]) if hearing.name == STYLETTS2 else SHIPPED


def listen(
    args: argparse.Namespace, hearing: Hearing, voices: Mapping[str, np.ndarray]
) -> tuple[Heard, Heard]:
    """Hear the voices' clips, and the background's."""
    from tools.styletts2_kokoro import map_corpus

    kept = Path(args.kept) / f"heard-{hearing.name}.npz" if args.kept else None
    listed = args.background_list or None
    if args.clips:
        clips = map_corpus.recorded_clips(args.clips, voices, args.clips_each)
    else:
        from tools.kokoro.backends.opening import open_backend
        from tools.kokoro.phonemes import phonemize

        texts = [phonemize(text) for text in map_corpus.TEXTS[: args.clips_each]]
        clips = map_corpus.spoken_clips(open_backend(), voices, texts)
    background = map_corpus.background_clips(args.background, MOST_SPEAKERS, listed)
    heard = map_corpus.hear(clips, hearing, kept)
    return heard, map_corpus.hear(background, hearing, kept)


def learn_all(
    name: str, voices: Mapping[str, np.ndarray], heard: Heard, background: Heard, gain: float
) -> tuple[dict, dict]:
    """A map and its scores for the hearing, and for each of its parts alone."""
    import numpy as np

    from tools.styletts2_kokoro import learning
    from tools.styletts2_kokoro.leave_one_out import HALVES, folds
    from tools.styletts2_kokoro.map_corpus import by_voice

    made = {half: folds(np.stack(list(voices.values())), half) for half in HALVES}
    both, real = by_voice(heard), {"": np.stack(list(background.values()))}
    maps, scores = {}, {}
    for part in dict.fromkeys((name, *name.split("+"))):
        own, far = both, real
        if part != name:
            own, far = (learning.part_of(rows, name, part) for rows in (both, real))
        chosen = learning.choose(made, learning.averages(voices, own, part), part)
        maps[part] = learning.learn(part, voices, own, far[""], chosen, gain)
        scores[part] = {"strength": chosen.strength, "loudness": float(chosen.loudness[0])}
        scores[part] |= {half: rounded(asdict(one)) for half, one in chosen.scores.items()}
    return maps, scores


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def record(
    args: argparse.Namespace, hearing: Hearing, voices: Mapping, heard: Heard, far: Heard, scores
) -> dict[str, Any]:
    """Where the map comes from."""
    counts = {"voices": len(voices), "clips": len(heard), "background": len(far)}
    sums = {"voices": digest(voices), "clips": digest(heard), "background": digest(far)}
    sources = {
        name: {"count": count, "sha256": sums[name], "licence": LICENCES[name]}
        for name, count in counts.items()
    }
    for part, provenance in hearing.provenance.items():
        sources[part] = {"weights": provenance, "licence": LICENCES[part]}
    folders = {"--clips": args.clips, "--background": args.background}
    given = [f"{flag} {Path(value).name}" for flag, value in folders.items() if value]
    return {
        "licence": "Apache-2.0; the background mean CC BY 4.0",
        "command": " ".join(["python tools/build_speaker_map.py", *given]),
        "spoken_by": "recordings" if args.clips else "Kokoro",
        "sources": sources,
        "gain": args.gain,
        "leave_one_voice_out": scores,
    }


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names and float32 values rounded to four places, in the names' order."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        # Another processor's last digits are no other source; minus zero is zero.
        total.update(name.encode() + (arrays[name].astype("<f4").round(4) + 0).tobytes())
    return total.hexdigest()


def report(result: Mapping[str, Any]) -> str:
    """What a person wants to know."""
    lines = [f"{'leave one voice out':22}{'timbre R2':>10}{'prosody R2':>12}"]
    for name, scores in result["scores"].items():
        lines.append(f"{name:22}{scores['timbre']['r2']:>10.3f}{scores['prosody']['r2']:>12.3f}")
    return "\n".join([*lines, f"map  {result['output']}"])


if __name__ == "__main__":
    sys.exit(run(main, parser()))
