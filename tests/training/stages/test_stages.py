"""The stages under every way of running them."""

import keras
import numpy as np
import pytest

from myxtts.config import SynthesisConfig
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.training.logs import read_history
from myxtts.training.run import train
from tests.conftest import run_config


def values(run_dir, stage: str, name: str, kind: str = "train") -> list[float]:
    records = read_history(run_dir)
    return [r[name] for r in records if r["stage"] == stage and r["kind"] == kind and name in r]


@pytest.fixture
def float32_again():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.slow
def test_mixed_precision_trains(micro_config, corpus, tmp_path, float32_again):
    config = run_config(micro_config, corpus, tmp_path, mixed_precision=True)
    train(config.merged({"training": {"decoder": {"steps": 0}}}))
    assert np.isfinite(values(tmp_path, "gpt", "loss")).all()


@pytest.mark.slow
def test_compiled_steps_train(micro_config, corpus, tmp_path):
    result = train(run_config(micro_config, corpus, tmp_path, xla=True, stage="dvae"))
    assert result.steps == {"dvae": 4}


def test_losses_fall_from_their_start(micro_config, corpus, tmp_path):
    stages = {"steps": 60, "batch_size": 6, "warmup_steps": 5, "learning_rate": 3e-3}
    config = run_config(
        micro_config, corpus, tmp_path, dvae=stages, gpt=stages, decoder={"steps": 0}
    )
    train(config.merged({"training": {"validate_every": 30}}))
    for stage, name in (("dvae", "recon_loss"), ("gpt", "audio_loss"), ("gpt", "text_loss")):
        track = values(tmp_path, stage, name, "validation")
        assert min(track[1:]) < 0.9 * track[0], (stage, track)


@pytest.mark.slow
def test_discriminators_take_part_from_their_step_on(micro_config, corpus, tmp_path):
    config = run_config(
        micro_config, corpus, tmp_path, adversarial_start=1, decoder={"steps": 3, "batch_size": 2}
    )
    train(config)
    assert values(tmp_path, "decoder", "discriminator_loss")[-1] > 0


def test_the_contrastive_loss_is_optimised(micro_config, corpus, tmp_path):
    config = run_config(
        micro_config,
        corpus,
        tmp_path,
        contrastive_loss_weight=1.0,
        gpt={"steps": 2, "batch_size": 4},
        decoder={"steps": 0},
    ).merged({"data": {"speakers_per_batch": 2}})
    result = train(config)
    fresh, after = XTTS(micro_config), XTTS.from_preset(result.preset)
    before = fresh.audio_encoder.speaker_encoder.fc.kernel.numpy().std()
    assert values(tmp_path, "gpt", "contrastive_loss")
    assert after.audio_encoder.speaker_encoder.fc.kernel.numpy().std() != before


@pytest.mark.slow
def test_frozen_resemblyzer_trains_speaks_and_does_not_move(micro_config, corpus, tmp_path):
    pytest.importorskip("resemblyzer", reason="resemblyzer is not installed (make reference)")
    changes = {"use_pretrained_speaker_encoder": True, "speaker_encoder_type": "resemblyzer"}
    config = run_config(micro_config.merged({"model": changes}), corpus, tmp_path / "run")
    result = train(config)
    model = XTTS.from_preset(result.preset)
    encoder = model.audio_encoder.speaker_encoder
    assert encoder.provenance.startswith("resemblyzer==")
    from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
    from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder

    original = PretrainedSpeakerEncoder("resemblyzer")
    load_pretrained_speaker_encoder(original)
    for one, other in zip(encoder.weights, original.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    synthesizer = Synthesizer(model, SynthesisConfig(vocoder="griffin_lim"))
    spoken = synthesizer.speak("Hello.", synthesizer.condition([corpus / "clip_0.wav"]))
    assert np.isfinite(spoken.waveform).all()


@pytest.mark.slow
def test_unfrozen_resemblyzer_moves(micro_config, corpus, tmp_path):
    pytest.importorskip("resemblyzer", reason="resemblyzer is not installed (make reference)")
    changes = {
        "use_pretrained_speaker_encoder": True,
        "speaker_encoder_type": "resemblyzer",
        "freeze_speaker_encoder": False,
    }
    config = run_config(micro_config.merged({"model": changes}), corpus, tmp_path)
    result = train(config.merged({"training": {"decoder": {"steps": 0}}}))
    from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
    from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder

    original = PretrainedSpeakerEncoder("resemblyzer")
    load_pretrained_speaker_encoder(original)
    trained = XTTS.from_preset(result.preset).audio_encoder.speaker_encoder
    pairs = zip(trained.weights, original.weights, strict=True)
    assert any(not np.array_equal(one, other) for one, other in pairs)
