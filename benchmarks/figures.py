"""The figures of docs/results.md and the commands that make them, a row each.

What a row needs of somebody's own is called by an option of ``benchmarks/run.py`` and stands in
braces in its commands: ``{recordings}``.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

COQUI = ("torch", "TTS")


@dataclass(frozen=True)
class Figure:
    """One row.

    Attributes:
        name: for ``--only``.
        heading: of docs/results.md, or of the page that is named, where the figure stands.
        full: arguments of Python.
        quick: the same for a first look in a minute or two; None: ``full``. Empty: a first look
            does without, since the quick forms of other rows say as much.
        packages: modules that have to be installed.
        minutes: after which ``full`` is given up.
        long: whether it takes hours, or wants a machine to itself: run by name alone.
    """

    name: str
    heading: str
    full: str
    quick: str | None = None
    packages: tuple[str, ...] = ()
    minutes: float = 10
    long: bool = False

    def command(self, quick: bool) -> list[str]:
        """Arguments of Python, with the braces in them."""
        return (self.quick if quick and self.quick else self.full).split()

    def is_of_all(self, quick: bool) -> bool:
        """Whether it is made where no row is named."""
        return not self.long and not (quick and self.quick == "")

    def materials(self, quick: bool) -> list[str]:
        """What somebody has to name for it."""
        parts = string.Formatter().parse(" ".join(self.command(quick)))
        return sorted({name for _, name, _, _ in parts if name})


TEST = "-m pytest -q -p no:cacheprovider"
XTTS = "benchmarks/xtts.py --workdir {workdir}"
ENGINES = "benchmarks/decode_engines.py --beside-coqui --workdir {workdir}"
ENCODERS = "benchmarks/speaker_encoders.py"
TRAINING = "benchmarks/speaker_training.py --threads 1"

FIGURES = (
    Figure(
        "before",
        "Before and after the house was redrawn",
        "benchmarks/versions.py {checkout} --rounds 5",
        "benchmarks/versions.py {checkout} --rounds 1",
        minutes=15,
        long=True,
    ),
    Figure(
        "parity",
        "Parity with coqui-tts",
        f"{TEST} tests/weights tests/models",
        f"{TEST} tests/weights/test_coqui_xtts.py",
        COQUI,
        minutes=20,
        long=True,
    ),
    Figure(
        "full_size_parity",
        "Parity at full size",
        "benchmarks/full_size_parity.py --json",
        "benchmarks/full_size_parity.py --json --size tiny",
        COQUI,
        minutes=30,
        long=True,
    ),
    Figure(
        "xtts_small",
        "Speed beside coqui-tts",
        f"{XTTS} --size small --xla --int8 --rounds 5",
        f"{XTTS} --size small --int8 --rounds 1 --measures decoder first_chunk",
        COQUI,
        minutes=15,
    ),
    Figure(
        "xtts_full",
        "Speed beside coqui-tts",
        f"{XTTS} --size full --int8 --rounds 5 --measures decoder conditioning end_to_end",
        "",  # decode_full has this GPT, xtts_small this decoder
        COQUI,
        minutes=15,
    ),
    Figure(
        "xtts_full_streams",
        "Speed beside coqui-tts",
        f"{XTTS} --size full --xla --int8 --rounds 5 --measures first_chunk stream",
        packages=COQUI,
        minutes=40,
        long=True,
    ),
    Figure(
        "decode_small",
        "A step of decoding",
        f"{ENGINES} --size small --rounds 5",
        f"{ENGINES} --size small --rounds 2 --codes 10 40",
        COQUI,
    ),
    Figure(
        "decode_full",
        "A step of decoding",
        f"{ENGINES} --size full --rounds 5",
        f"{ENGINES} --size full --rounds 2 --codes 10 40 --engines int8",
        COQUI,
        minutes=15,
    ),
    Figure(
        "convolutions",
        "What the decoder was tried with",
        "benchmarks/decode_convolutions.py",
        "benchmarks/decode_convolutions.py --rounds 2 --seconds 1 --every 5",
    ),
    Figure(
        "rounding",
        "What rounding to int8 changes",
        "benchmarks/decode_accuracy.py --codes 1000",
        "benchmarks/decode_accuracy.py --codes 100",
    ),
    Figure(
        "stream",
        "A long stream",
        "benchmarks/stream_profile.py --size small --codes 600 --output {workdir}/stream.png",
        "benchmarks/stream_profile.py --size tiny --codes 100 --output {workdir}/stream.png",
    ),
    Figure(
        "growth",
        "Growth",
        "benchmarks/growth.py --output {workdir}/growth.png",
        "benchmarks/growth.py --quick --only clips --only speakers --only text "
        "--output {workdir}/growth.png",
        minutes=15,
    ),
    Figure(
        "bulk",
        "Bulk work",
        "benchmarks/bulk.py",
        "benchmarks/bulk.py --only features --items 100",
        ("resemblyzer",),
        minutes=15,
    ),
    Figure(
        "memorise",
        "Learned by heart",
        "benchmarks/memorise.py --corpus {corpus} --output {workdir}/memorise",
        packages=("faster_whisper", "resemblyzer"),
        minutes=60,
        long=True,
    ),
    Figure(
        "training_speed",
        "Speech a second of training",
        "benchmarks/training_speed.py {checkout}",
        "benchmarks/training_speed.py {checkout} --rounds 1 --steps 16",
        minutes=40,
        long=True,
    ),
    Figure(
        "training_coqui",
        "Training beside coqui-tts",
        "benchmarks/training_coqui.py --rounds 5 --workdir {workdir}",
        "benchmarks/training_coqui.py --size tiny --rounds 1 --stages gpt --workdir {workdir}",
        COQUI,
        minutes=20,
    ),
    Figure(
        "voice_trials",
        "The settings of speaking, tried on a model that reads",
        "benchmarks/voice_trials.py --sentences 48",
        "benchmarks/voice_trials.py --sentences 8 --only lengths streams",
        ("faster_whisper",),
        minutes=40,
        long=True,
    ),
    Figure(
        "voice",
        "A voice that reads",
        "benchmarks/voice.py --recordings {recordings} --transcribed {corpus} --json",
        "benchmarks/voice.py --recordings {recordings} --quick --json",
        ("faster_whisper", "speechmos", "speechbrain"),
        minutes=180,
        long=True,
    ),
    Figure(
        "speaker_losses",
        "The speaker losses",
        "benchmarks/speaker_losses.py --corpus {corpus} --weight 0.1 --seeds 3 "
        "--output {workdir}/speaker_losses",
        minutes=300,
        long=True,
    ),
    Figure(
        "demo",
        "The demo",
        "tools/demo_train.py --output {workdir}/demo",
        minutes=30,
        long=True,
    ),
    Figure(
        "verification",
        "Verification",
        "tools/verify_speakers.py --trials {trials} --encoder resemblyzer --json",
        minutes=15,
    ),
    Figure(
        "speaker_encoders",
        "Speed",
        f"{ENCODERS} --count 24",
        f"{ENCODERS} --count 8 --rounds 2",
        ("torch", "speechbrain", "resemblyzer", "TTS"),
    ),
    Figure(
        "speaker_training",
        "Speed of a training step",
        f"{TRAINING} --rounds 5 --side step",
        f"{TRAINING} --rounds 1 --side step --batch-size 8",
        ("torch", "speechbrain"),
        minutes=15,
    ),
    Figure(
        "wavlm",
        "Speed of a training step",
        f"{TRAINING} --rounds 5 --side wavlm --batch-size 4",
        f"{TRAINING} --rounds 2 --side wavlm --batch-size 2",
        ("torch", "transformers"),
    ),
    Figure(
        "serving",
        "Speed of a served model",
        "benchmarks/serving.py --requests 0 --output {workdir}/serving.png",
        "benchmarks/serving.py --size tiny --no-float16 --requests 0 --rounds 1 "
        "--sides served python",
        minutes=15,
    ),
    Figure(
        "serving_memory",
        "Memory and size of a served model",
        "benchmarks/serving.py --requests 400 --output {workdir}/serving.png",
        minutes=60,
        long=True,
    ),
    Figure(
        "serving_full",
        "XTTS-v2's full size, served",
        "benchmarks/serving.py --size full --output {workdir}/serving.png",
        minutes=60,
        long=True,
    ),
    Figure(
        "kokoro_analysis",
        "What the voices say",
        "tools/optimize_voice_embedding.py --analyze --json",
        packages=("torch",),
        long=True,
    ),
    Figure(
        "kokoro_fits",
        "Fits of five speakers",
        "benchmarks/kokoro_voice.py --recordings {recordings} --seconds 300 "
        "--output {workdir}/kokoro",
        packages=("torch", "resemblyzer"),
        minutes=300,
        long=True,
    ),
    Figure(
        "kokoro_lengths",
        "The length models",
        "benchmarks/kokoro_voice.py --recordings {recordings} --length-steps 25 "
        "--output {workdir}/kokoro_lengths",
        packages=("torch", "resemblyzer"),
        minutes=120,
        long=True,
    ),
    Figure(
        "kokoro_one_pass",
        "Voices told in one pass",
        "benchmarks/styletts2_kokoro.py leave-one-out --clips {kokoro_clips}",
        packages=("resemblyzer",),
        minutes=60,
        long=True,
    ),
    Figure(
        "kokoro_readers",
        "Voices told in one pass",
        "benchmarks/styletts2_kokoro.py speakers --recordings {recordings}",
        packages=("resemblyzer", "faster_whisper", "speechmos"),
        minutes=180,
        long=True,
    ),
    Figure(
        "tacotron",
        "Speed of the synthesizer",
        "benchmarks/tacotron.py --rounds 3",
        "benchmarks/tacotron.py --rounds 1",
        ("torch",),
    ),
    Figure(
        "wavernn",
        "docs/vocoders.md",
        "benchmarks/wavernn.py --rounds 5",
        "benchmarks/wavernn.py --rounds 1",
        ("torch",),
    ),
    Figure(
        "faults",
        "Damaged files",
        "benchmarks/faults.py --inputs 20000 --kills 200 --output {workdir}/faults",
        "benchmarks/faults.py --quick",
        minutes=600,
        long=True,
    ),
    Figure(
        "server",
        "The gateway",
        "benchmarks/server.py --minutes 10 --requests 5000 --kills 100 --json",
        "benchmarks/server.py --minutes 0.2 --clients 4 --requests 50 --kills 1 --json",
        minutes=120,
        long=True,
    ),
)
