"""A flag that nothing would read is refused by its name, and never passed over in silence."""

import importlib
import json

import pytest

from myxtts.flags import make_parser, refuse_unread, run
from tests.sv2tts_files import write_reference

AUDIO = "myxtts.programs.speak"
FIT = "tools.optimize_voice_embedding"
VOICE = "tools.kokoro_voice_from_audio"
CORPUS = "tools.make_voice_corpus"
ENCODER = "tools.speaker_encoder.train_encoder"

# The program, its call, and the flag that the sentence names. REF is a recording, OUT a folder.
UNREAD = [
    (VOICE, "REF --output OUT/v.pt --weights BAD", "--weights is for --speak"),
    (VOICE, "REF --output OUT/v.pt --device cuda", "--device is for --speak"),
    (VOICE, "REF --output OUT/v.pt --language fr-fr", "--language is for --speak"),
    (VOICE, "REF --output OUT/v.pt --encoder speaker --style-weights B", "--style-weights"),
    (VOICE, "REF --output OUT/v.pt --speak hello --weights OUT/BAD", "OUT/BAD do not exist"),
    (FIT, "--analyze --target-audio REF", "--target-audio is for a fit"),
    (FIT, "--analyze --resume", "--resume is for a fit"),
    (FIT, "--analyze --iterations 3", "is for a fit"),
    (FIT, "--target-audio REF --cma-sigma 1", "--cma-sigma is for --gradient-method cma"),
    (FIT, "--target-audio REF --batch-size 2", "--batch-size is for --gradient-method finite"),
    (FIT, "--target-audio REF --gradient-method cma --fd-epsilon 1", "--fd-epsilon is for"),
    (FIT, "--target-audio REF --gradient-method cma --learning-rate 1", "--learning-rate is for"),
    (FIT, "--target-audio REF --phonemes a --language fr-fr", "--language is for texts"),
    (CORPUS, "--output OUT --leave-out mina", "--leave-out is for --recordings"),
    (CORPUS, "--output OUT --voices OUT", "--voices is for --kokoro-hours"),
    (CORPUS, "--output OUT --kokoro-mixtures 3", "--kokoro-mixtures is for --kokoro-hours"),
    (CORPUS, "--output OUT --no-austen --austen-package a.deb", "--austen-package is for"),
    (CORPUS, "--output OUT --hours 0 --kokoro-hours 1 --speakers 3", "--speakers is for --hours"),
    ("tools.training_styletts2", "--data OUT --wandb-project a", "--wandb-project is for --wandb"),
    ("tools.training_styletts2", "--data OUT --encoder speaker --style-weights a", "--style-w"),
    ("tools.demo_train", "--output-dir OUT", "--output-dir is for train_main.py"),
    ("tools.bulk", "embed --audio OUT --encoder OUT --encoder-weights a --output OUT/o", "preset"),
    ("tools.bulk", "synthesise --texts OUT/t --suffix .xyz --output OUT/o", ".xyz"),
    ("tools.sv2tts.demo_cli", "-v griffin_lim --vocoder-weights int8 --text a", "--vocoder-w"),
    (ENCODER, "--dry-run --wavlm-layers 2", "--wavlm-layers is for --speaker-encoder-type wavlm"),
    (ENCODER, "--dry-run --augmentation-noise-snr 1,2", "--augmentation-noise-paths"),
    (ENCODER, "--dry-run --augmentation-babble-voices 1,2", "--augmentation-babble-paths"),
    ("myxtts.programs.verify", "--trials TRIALS --encoder OUT --no-trim-silences", "is a preset"),
    ("myxtts.server.command", "--tf-model mine", "--tf-model is for --backend tf-serving"),
    ("myxtts.serving.client.command", "--model m --text a --reference-audio REF --first-codes 4",
     "--first-codes is for --stream"),
    (AUDIO, "--list-voices --speaker a", "--speaker is for speaking"),
    (AUDIO, "--list-voices --save-voice OUT/v.safetensors", "--save-voice is for speaking"),
    (AUDIO, "--list-voices --reference-audio REF", "--reference-audio is for speaking"),
    (AUDIO, "--list-voices --language de", "--language is for speaking"),
    (AUDIO, "--list-voices --seed 3", "--seed is for speaking"),
    (AUDIO, "--list-voices --play", "--play is for speaking"),
    ("myxtts.training.command", "--dry-run --estimate-memory", "not allowed with"),
]  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What stands for the words of the calls."""
    folder = tmp_path_factory.mktemp("unread")
    reference = write_reference(folder / "ref.wav")
    (folder / "trials.txt").write_text(f"1 {reference} {reference}\n0 {reference} {reference}\n")
    (folder / "out").mkdir()
    (folder / "out" / "t").write_text("A text.\n")
    return {"REF": str(reference), "OUT": str(folder / "out"), "TRIALS": folder / "trials.txt"}


def call(monkeypatch, capsys, module: str, words: str, places: dict) -> tuple:
    for word, place in places.items():
        words = words.replace(word, str(place))
    program = importlib.import_module(module)
    monkeypatch.setattr("sys.argv", ["program", *words.split()])
    try:
        code = run(program.main, program.parser())
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


@pytest.mark.parametrize(("module", "words", "told"), UNREAD)
def test_it_is_refused_by_its_name(module, words, told, places, monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys, module, words, places)
    assert code in (1, 2) and out == ""
    assert told.replace("OUT", places["OUT"]) in err and "Traceback" not in err
    assert err.count(": error: ") == 1


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("myxtts.training.command", ""),
        (ENCODER, ""),
        ("tools.sv2tts.vocoder_train", "run OUT"),
        ("tools.sv2tts.hifigan_train", "run OUT"),
        ("tools.sv2tts.synthesizer_train", "run OUT"),
    ],
)
def test_settings_that_are_asked_for_as_json_are_json(module, words, places, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, module, f"{words} --dry-run --json", places)
    assert code == 0 and "training" in json.loads(out)


def test_a_default_that_is_given_is_no_flag_too_many():
    parser = make_parser("program", "It does.")
    parser.add_argument("--device", default="cpu")
    refuse_unread(parser.parse_args(["--device", "cpu"]), parser, {"--device": "is odd."})
