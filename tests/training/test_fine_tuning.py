"""Fine-tuning starts from a preset, by Coqui's recipe, and keeps what it does not train."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from myxtts.config import DataConfig, XTTSConfig
from myxtts.data.xtts import BatchOptions, gpt_batch
from myxtts.errors import CheckpointError, ConfigError
from myxtts.models.xtts import XTTS
from myxtts.training import command
from myxtts.training.run import train
from myxtts.training.stages.gpt import with_stops, without_prompt
from myxtts.training.stages.xtts import prepare
from tests.conftest import run_config, write_corpus
from tests.training.test_resume import Killed, die_in

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"gpt": {"steps": 4, "batch_size": 2, "learning_rate": 1e-3}, "gradient_accumulation": 2}


def resolved(*flags: str) -> XTTSConfig:
    return command.resolve(command.parser().parse_args([str(flag) for flag in flags]))


def fine_tuning(preset: Path, corpus: Path, output: Path, **training) -> XTTSConfig:
    """The recipe, shortened."""
    config = resolved("--init-from", preset, "--reference-min-seconds", 0.3)
    config = config.merged({"data": {"reference_seconds": 0.6}})
    return run_config(config, corpus, output, **{**SHORT, **training})


def seconds(longest: float, shortest: float = 0.0) -> dict[str, float]:
    return {"reference_seconds": longest, "reference_min_seconds": shortest}


def arrays(model: XTTS, part: str) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in getattr(model, part).weights]


def same(first, second) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def tuned(trained, corpus, tmp_path_factory):
    return train(fine_tuning(trained.preset, corpus, tmp_path_factory.mktemp("tuned")))


def test_only_the_gpt_and_its_conditioning_move(trained, tuned):
    before, after = XTTS.from_preset(trained.preset), XTTS.from_preset(tuned.preset)
    for part in ("dvae", "mel_norm", "decoder"):
        assert same(arrays(before, part), arrays(after, part)), part
    assert not same(arrays(before, "gpt"), arrays(after, "gpt"))
    encoders = [model.audio_encoder for model in (before, after)]
    assert same(*[[np.asarray(v) for v in e.speaker_encoder.weights] for e in encoders])
    assert not same(*[[np.asarray(v) for v in e.perceiver.weights] for e in encoders])


@pytest.mark.slow
def test_the_licence_goes_with_the_weights(trained, corpus, tmp_path):
    preset = shutil.copytree(trained.preset, tmp_path / "base")
    (preset / "README.md").write_text("Licence of the weights: none of yours.")
    result = train(fine_tuning(preset, corpus, tmp_path / "run"))
    card = (result.preset / "README.md").read_text()
    assert card.startswith("Fine-tuned from")
    assert "Licence of the weights: none of yours." in card


def test_the_recipe_is_coquis_and_flags_beat_it(trained):
    config = resolved("--init-from", trained.preset, "--gpt-batch-size", "7")
    assert config.training.stage == "gpt"
    assert config.training.gpt.learning_rate == 5e-6
    assert config.training.gpt.batch_size == 7
    assert config.training.coqui_compatible
    assert config.data.reference == "masked_prompt"
    assert config.model.gpt.layers == 2
    assert config.data.train_data is None


def test_a_yaml_file_may_name_the_preset(trained, tmp_path):
    written = {"training": {"init_from": str(trained.preset), "gpt": {"steps": 3}}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(written))
    config = resolved("--config", tmp_path / "own.yaml")
    assert config.model.gpt.layers == 2
    assert config.training.gpt.steps == 3
    assert config.training.gpt.learning_rate == 5e-6


@pytest.mark.slow
def test_a_killed_fine_tuning_goes_on_as_if_nothing_had_been(
    trained, tuned, corpus, tmp_path, monkeypatch
):
    config = fine_tuning(trained.preset, corpus, tmp_path, checkpoint_every=2, validate_every=2)
    with monkeypatch.context() as patch:
        die_in(patch, "gpt", 2)
        with pytest.raises(Killed):
            train(config)
    resumed = train(config.merged({"training": {"resume": True}}))
    models = [XTTS.from_preset(result.preset) for result in (tuned, resumed)]
    assert same(*[arrays(model, "gpt") for model in models])


@pytest.mark.slow
def test_vocabulary_grows_with_a_new_language(trained, tmp_path):
    (tmp_path / "corpus").mkdir()
    corpus = write_corpus(tmp_path / "corpus", clips=4)
    file = corpus / "metadata.jsonl"
    lines = [line for line in file.read_text().splitlines() if line]
    swedish = [
        line.replace("This is clip number", "Hej hej världen").replace("}", ', "language": "sv"}')
        for line in lines
    ]
    file.write_text("\n".join(swedish) + "\n")
    config = fine_tuning(trained.preset, corpus, tmp_path / "run")
    result = train(config.merged({"data": {"extend_vocabulary": 60}}))
    before, after = XTTS.from_preset(trained.preset), XTTS.from_preset(result.preset)
    assert "sv" in after.tokenizer.languages
    assert before.tokenizer.vocabulary.items() <= after.tokenizer.vocabulary.items()
    assert after.gpt.num_text_tokens >= after.tokenizer.vocab_size
    assert after.tokenizer.decode(after.tokenizer.encode("Hej världen", "sv")) == "[sv]hej världen"


def test_prompts_are_of_the_utterance_itself_and_their_frames_are_told(trained, corpus, tmp_path):
    config = fine_tuning(trained.preset, corpus, tmp_path)
    _, clips, _ = prepare(config, tmp_path)
    options = BatchOptions(0, DataConfig(reference="masked_prompt", **seconds(0.6, 0.3)))
    batch = gpt_batch(clips, np.arange(4), 0, options)
    first, end = batch["prompt_frames"].T
    drawn = (end - first) * 256 / 22_050
    assert np.all((drawn > 0.25) & (drawn <= 0.6))
    assert len(set(drawn)) > 1
    for row in range(4):
        mel = clips.feature(row, "cond_mel")[first[row] : end[row]]
        np.testing.assert_array_equal(batch["reference_mel"][row, : len(mel)], mel)
    # A clip shorter than the prompt lends its half.
    longer = gpt_batch(
        clips,
        np.arange(4),
        0,
        BatchOptions(0, DataConfig(reference="masked_prompt", **seconds(60.0))),
    )
    lengths = longer["prompt_frames"][:, 1] - longer["prompt_frames"][:, 0]
    np.testing.assert_array_equal(
        lengths, [len(clips.feature(i, "cond_mel")) // 2 for i in range(4)]
    )


def test_codes_inside_the_prompt_are_not_learned_and_the_stop_is():
    targets = np.array([[5, 6, 7, 8, 99], [5, 6, 99, -1, -1]])
    masked = without_prompt(targets, np.array([[3, 13], [0, 8]]))
    # Frames 3 to 12 hold codes 1 and 2 wholly.
    np.testing.assert_array_equal(masked, [[5, -1, -1, 8, 99], [-1, -1, 99, -1, -1]])


def test_more_stops_follow_each_utterance():
    inputs = {"audio_codes": np.array([[1, 2, 3], [4, 0, 0]]), "code_lengths": np.array([3, 1])}
    longer = with_stops(inputs, 9)
    np.testing.assert_array_equal(longer["audio_codes"], [[1, 2, 3, 9, 9, 9], [4, 9, 9, 9, 9, 9]])
    np.testing.assert_array_equal(longer["code_lengths"], [6, 4])


def test_another_models_sizes_are_refused(trained, corpus, tmp_path):
    config = fine_tuning(trained.preset, corpus, tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.gpt\.layers differs"):
        train(config.merged({"model": {"gpt": {"layers": 3}}}))


def test_an_extension_without_a_preset_is_refused():
    with pytest.raises(ConfigError, match="--init-from"):
        XTTSConfig().merged({"data": {"extend_vocabulary": 5}})


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (("--init-from", "nowhere"), 1, "nowhere is no preset"),
        (("--init-from", "nowhere", "--preset", "tiny"), 2, "exclude each other"),
    ],
)
def test_mistakes_are_one_sentence(flags, code, sentence, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "train_main.py"), "--train-data", "x", *flags],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
