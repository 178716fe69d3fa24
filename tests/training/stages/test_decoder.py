"""The decoder stage with the istft decoder and with other judges."""

import numpy as np
import pytest
import tensorflow as tf

from myxtts.config import XTTSConfig
from myxtts.errors import ConfigError
from myxtts.generation.vocoding import choose_vocoder
from myxtts.models.harmonic_source import octaves_of
from myxtts.models.xtts import XTTS
from myxtts.training.logs import read_history
from myxtts.training.run import train
from myxtts.training.stages.decoder import DecoderTask, pitch_losses
from myxtts.training.trainer import Trainer
from tests.conftest import run_config
from tests.istft import as_preset, istft_config


def history(run_dir, kind: str) -> list[dict]:
    return [record for record in read_history(run_dir) if record["kind"] == kind]


@pytest.fixture(scope="module", params=[pytest.param("none", marks=pytest.mark.slow), "harmonic"])
def source(request):
    return request.param


@pytest.fixture(scope="module")
def preset(trained, micro_config, tmp_path_factory, source):
    return as_preset(trained, micro_config, tmp_path_factory.mktemp("istft"), source)


@pytest.fixture(scope="module")
def config(micro_config, corpus, preset, source):
    changes = {
        "stage": "decoder",
        "init_from": str(preset),
        "decoder": {"steps": 4, "batch_size": 2, "warmup_steps": 1, "learning_rate": 1e-3},
        "stft_loss_weight": 1.0,
        "discriminators": ["multi_resolution"],
        "discriminator_width": 0.125,
        "adversarial_objective": "hinge",
        "adversarial_start": 1,
        "segments_per_utterance": 2,
    }
    return run_config(istft_config(micro_config, source), corpus, preset.parent / "run", **changes)


@pytest.fixture(scope="module")
def whole(config):
    return train(config)


def test_the_decoder_moves_and_nothing_else(preset, whole):
    before, after = XTTS.from_preset(preset), XTTS.from_preset(whole.preset)
    moved = [
        not np.array_equal(one, other)
        for one, other in zip(before.decoder.weights, after.decoder.weights, strict=True)
    ]
    assert all(moved)
    for part in ("gpt", "dvae", "mel_norm"):
        pairs = zip(before.parts()[part].weights, after.parts()[part].weights, strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)


def test_every_loss_is_told(whole, source):
    last = history(whole.preset.parent, "train")[-1]
    for name in ("mel_loss", "stft_loss", "adversarial_loss", "feature_loss"):
        assert last[name] > 0, name
    assert last["discriminator_loss"] > 0
    assert ("pitch_loss" in last) == (source == "harmonic")


def test_the_pitch_is_that_of_the_recordings():
    truth = tf.constant([[0.0, 100.0, 200.0, 300.0]])
    known = tf.constant([[True, True, True, False]])
    octaves, sure = octaves_of(truth), tf.constant([[-30.0, 30.0, 30.0, 30.0]])
    right = pitch_losses(octaves, sure, truth, known)
    assert float(right["pitch_loss"]) == pytest.approx(0.0, abs=1e-6)
    wrong = pitch_losses(octaves + 1.0, sure, truth, known)
    assert float(wrong["pitch_octaves"]) == pytest.approx(1.0)
    assert pitch_losses(octaves, -sure, truth, known)["pitch_loss"] > 10


def test_the_vocoder_that_was_judged_is_the_decoders(whole):
    model = XTTS.from_preset(whole.preset)
    assert model.vocoder_errors.keys() == {"griffin_lim", "istft"}
    assert choose_vocoder(model, "istft") == "istft"
    assert choose_vocoder(model, "auto") == min(model.vocoder_errors, key=model.vocoder_errors.get)
    model.vocoder_errors = {}
    assert choose_vocoder(model, "auto") == "istft"
    with pytest.raises(ConfigError, match="hifi: the decoder of this checkpoint is istft"):
        choose_vocoder(model, "hifi")
    model.trained_steps = {}
    with pytest.raises(ConfigError, match="istft: the decoder of this checkpoint has not been"):
        choose_vocoder(model, "istft")


@pytest.mark.slow
def test_a_run_that_was_broken_ends_as_the_whole(config, whole, tmp_path):
    half = config.merged({"training": {"output_dir": str(tmp_path)}})
    broken_at_two(half)
    train(half.merged({"training": {"resume": True}}))
    ours, theirs = XTTS.from_preset(tmp_path / "preset"), XTTS.from_preset(whole.preset)
    for one, other in zip(ours.decoder.weights, theirs.decoder.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history(tmp_path, "train") == history(whole.preset.parent, "train")


def broken_at_two(config: XTTSConfig) -> None:
    """Run until the checkpoint of step 2 is written."""

    class Killed(Exception):
        pass

    save = Trainer._save

    def save_and_die(trainer):
        save(trainer)
        if trainer.progress.step == 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "_save", save_and_die)
        train(config)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"multi_period": 16, "multi_scale": 16}),
        ({"discriminators": ["multi_resolution"]}, {"multi_resolution": 4}),
        (
            {"discriminators": ["multi_resolution", "multi_period"], "discriminator_width": 0.75},
            {"multi_resolution": 24, "multi_period": 32},
        ),
    ],
)
def test_the_judges_are_those_that_were_named(micro_config, changes, expected):
    config = istft_config(micro_config).merged({"training": changes})
    task = DecoderTask(XTTS(config), config)
    widths = {item.name: item.judges[0].convs[0].filters for item in task.adversary.judges}
    assert widths == expected


def test_more_segments_share_an_utterances_latents(micro_config):
    config = istft_config(micro_config).merged({"training": {"segments_per_utterance": 3}})
    task = DecoderTask(XTTS(config), config)
    rng = np.random.default_rng(0)
    batch = {
        "mel_lengths": tf.constant([80, 120]),
        "wave": tf.constant(rng.normal(size=(2, 40_000)).astype("float32")),
        "wave_lengths": tf.constant([22_000, 33_000]),
    }
    latents = tf.constant(rng.normal(size=(2, 30, 32)).astype("float32"))
    (cut, *_), wave = task._segments(batch, latents)
    assert cut.shape[0] == wave.shape[0] == 6
    for row, window in enumerate(np.asarray(cut)):
        own = np.asarray(latents[row // 3])
        assert (own == window[0]).all(axis=1).any()
    assert len(np.unique(cut[:, 0, 0])) > 2


def test_compiled_by_xla_it_learns_the_same(micro_config):
    numbers = []
    for xla in (None, True):
        config = istft_config(micro_config).merged({"training": {"xla": xla}})
        task = DecoderTask(XTTS(config), config)
        for weight in task.model.decoder.weights:
            rng = np.random.default_rng(sum(map(ord, weight.path)))
            weight.assign(rng.normal(size=weight.shape, scale=0.1))
        rng = np.random.default_rng(0)
        latents, wave, speaker = (
            tf.constant(rng.normal(size=shape, scale=0.1).astype("float32"))
            for shape in ((2, 30, 32), (2, 33_000), (2, 16))
        )
        rows = (latents, tf.constant([30, 30]), wave, tf.constant([33_000, 33_000]))
        inputs, wave = task.cutter.cut(tf.constant([3, 9]), *rows)
        numbers.append(float(task._compiled_spoken(inputs, speaker, wave)[1]["mel_loss"]))
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4)


def test_segments_may_be_in_the_voice_of_the_utterance_before(preset, config):
    changed = config.merged({"training": {"speaker_swap": 0.5}})
    task = DecoderTask(XTTS.from_preset(preset), changed)
    rows = tf.reshape(tf.range(8), (8, 1))  # two segments each of four utterances
    assert int(task._swapped(rows)) == 4
    swapped = task._swap(rows, task._swapped(rows))[:, 0]
    np.testing.assert_array_equal(swapped, [6, 7, 0, 1, 4, 5, 6, 7])
    # Of one utterance there is no other.
    assert int(task._swapped(rows[:2])) == 0


@pytest.mark.slow
def test_swapped_segments_are_judged_by_who_is_heard_alone(config, tmp_path):
    changes = {"speaker_swap": 0.5, "output_dir": str(tmp_path / "run")}
    result = train(config.merged({"training": changes}))
    last = history(result.preset.parent, "train")[-1]
    assert all(np.isfinite(value) for value in last.values() if isinstance(value, float))
