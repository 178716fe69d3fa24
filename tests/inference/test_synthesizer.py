"""Synthesis is bounded, deterministic and answers unfit input."""

import numpy as np
import pytest

from myxtts.config import SynthesisConfig
from myxtts.errors import AudioError, ConfigError, TextError
from myxtts.generation.driver import Attempt
from myxtts.generation.vocoding import choose_vocoder, waveform_round_trip
from myxtts.inference.synthesizer import Synthesizer
from myxtts.models.xtts import XTTS
from myxtts.timing import OUTPUT_RATE


@pytest.fixture(scope="module")
def model(trained):
    return XTTS.from_preset(trained.preset)


@pytest.fixture(scope="module")
def synthesizer(model):
    return Synthesizer(model, SynthesisConfig(vocoder="griffin_lim"))


@pytest.fixture(scope="module")
def voice(synthesizer, corpus):
    return synthesizer.condition([corpus / "clip_0.wav", corpus / "clip_2.wav"])


@pytest.mark.parametrize("text", ["a", "Hello there.", "x" * 300, "12345", "Hi! 🎉 you"])
def test_output_is_bounded_for_every_text(synthesizer, voice, text):
    spoken = synthesizer.speak(text, voice)
    pieces = len(spoken.codes)
    longest = pieces * (80 * 1024 / 22_050 + 0.2)
    assert spoken.duration <= longest
    assert np.isfinite(spoken.waveform).all()
    assert np.abs(spoken.waveform).max(initial=0) <= 1
    assert len(spoken.finished) == pieces


@pytest.mark.parametrize("text", ["", "   ", ".", "?!...", "🎉"])
def test_text_without_speech_is_refused(synthesizer, voice, text):
    with pytest.raises(TextError, match="nothing that can be spoken"):
        synthesizer.speak(text, voice)


def test_unknown_language_is_named(synthesizer, voice):
    with pytest.raises(TextError, match=r"unknown language 'tlh'; this model speaks en"):
        synthesizer.speak("Hello", voice, "tlh")


def test_same_seed_same_speech(model, synthesizer, voice):
    again = Synthesizer(model, SynthesisConfig(vocoder="griffin_lim"))
    first = synthesizer.speak("Hello there.", voice)
    np.testing.assert_array_equal(first.waveform, again.speak("Hello there.", voice).waveform)


def test_another_seed_gives_other_codes(model, synthesizer, voice):
    other = Synthesizer(model, SynthesisConfig(vocoder="griffin_lim", seed=7))
    first = synthesizer.speak("Hello there.", voice).codes[0]
    second = other.speak("Hello there.", voice).codes[0]
    assert len(first) != len(second) or (first != second).any()


def test_greedy_ignores_the_seed(model, voice):
    codes = [
        Synthesizer(model, SynthesisConfig(temperature=0.0, seed=seed, vocoder="griffin_lim"))
        .speak("Hello", voice)
        .codes[0]
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*codes)


def test_both_vocoders_speak_as_long(model, voice):
    waves = [
        Synthesizer(model, SynthesisConfig(vocoder=vocoder)).speak("Hello", voice)
        for vocoder in ("griffin_lim", "hifi")
    ]
    assert waves[0].sample_rate == waves[1].sample_rate == OUTPUT_RATE
    assert abs(len(waves[0].waveform) - len(waves[1].waveform)) < 1024


@pytest.mark.parametrize("vocoder", ["griffin_lim", "hifi"])
def test_speed_changes_the_length_and_not_the_codes(model, voice, vocoder):
    spoken = {
        speed: Synthesizer(model, SynthesisConfig(vocoder=vocoder, speed=speed)).speak("Hi", voice)
        for speed in (0.5, 1.0, 2.0)
    }
    for speed, result in spoken.items():
        np.testing.assert_array_equal(result.codes[0], spoken[1.0].codes[0])
        expected = spoken[1.0].duration / speed
        assert result.duration == pytest.approx(expected, rel=0.1, abs=0.05)


def test_a_doubtful_stop_is_tried_again(synthesizer, voice, monkeypatch):
    judged = []

    def judge(logits, stop_code):
        judged.append(logits)
        return np.array([True])

    monkeypatch.setattr("myxtts.inference.synthesizer.stops_doubtfully", judge)
    spoken = synthesizer.speak("Hello there.", voice)
    assert spoken.flags == [("doubtful_stop",)]
    assert 1 < len(judged) <= 1 + synthesizer.settings.retries


def test_a_stop_is_judged_by_the_scores_it_was_chosen_from(model, voice, monkeypatch):
    judged, bias = [], model.gpt.audio_head.bias
    before = np.asarray(bias)
    monkeypatch.setattr(
        "myxtts.inference.synthesizer.stops_doubtfully",
        lambda *seen: judged.append(seen) or np.array([False]),
    )
    greedy = SynthesisConfig(vocoder="griffin_lim", temperature=0.0, min_seconds_per_character=0.0)
    likely = before.copy()
    likely[model.gpt.stop_audio_token] += 3
    bias.assign(likely)
    try:
        Synthesizer(model, greedy).speak("Hello there.", voice)
    finally:
        bias.assign(before)
    ((logits, stop_code),) = judged
    assert np.argmax(logits[0]) == stop_code == model.gpt.stop_audio_token


def test_voices_differ_in_conditioning(synthesizer, corpus):
    low = synthesizer.condition([corpus / "clip_0.wav"])
    high = synthesizer.condition([corpus / "clip_1.wav"])
    assert not np.allclose(low.latents, high.latents)
    assert np.linalg.norm(low.speaker_embedding) == pytest.approx(1, abs=1e-4)


def test_long_references_are_averaged_over_pieces(synthesizer):
    rng = np.random.default_rng(0)
    voice = synthesizer.condition([rng.normal(size=22_050 * 11).astype("float32") * 0.1])
    assert voice.latents.shape[0] == 1


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.full(3000, 0.1, "float32"), "at least 0.3 s"),
        (np.zeros(22_050, "float32"), "silent"),
    ],
)
def test_unfit_references_are_refused(synthesizer, audio, message):
    with pytest.raises(AudioError, match=message):
        synthesizer.condition([audio])


def test_no_reference_is_refused(synthesizer):
    with pytest.raises(AudioError, match="no reference"):
        synthesizer.condition([])


def test_round_trip_keeps_the_length(model):
    audio = np.random.default_rng(0).normal(size=22_050).astype("float32") * 0.1
    assert abs(len(waveform_round_trip(model, audio)) - 24_000) < 2000


def test_untrained_decoder_is_never_chosen(model, monkeypatch):
    monkeypatch.setattr(model, "trained_steps", {"dvae": 4, "gpt": 4})
    assert choose_vocoder(model, "auto") == "griffin_lim"
    with pytest.raises(ConfigError, match="has not been trained"):
        choose_vocoder(model, "hifi")


@pytest.mark.parametrize("better", ["griffin_lim", "hifi"])
def test_the_vocoder_that_measured_better_is_chosen(model, monkeypatch, better, caplog):
    caplog.set_level("INFO")
    errors = {"griffin_lim": 0.5, "hifi": 0.5} | {better: 0.4}
    monkeypatch.setattr(model, "vocoder_errors", errors)
    assert choose_vocoder(model, "auto") == better
    assert f"vocoder: {better}" in caplog.text


def test_training_the_decoder_measures_both_vocoders(model):
    assert set(model.vocoder_errors) == {"griffin_lim", "hifi"}
    assert all(value > 0 for value in model.vocoder_errors.values())


def test_of_several_takes_the_surest_is_spoken(model, voice):
    settings = SynthesisConfig(vocoder="griffin_lim", retries=0, candidates=3)
    synthesizer = Synthesizer(model, settings)
    takes = [synthesizer.take(Attempt("Hello there.", 0, n), voice) for n in range(3)]
    assert len({take.score for take in takes}) == 3
    sound = [take for take in takes if not take.flags] or takes
    best = max(sound, key=lambda take: (-len(take.flags), take.score))
    spoken = synthesizer.speak("Hello there.", voice)
    assert spoken.attempts == [3]
    np.testing.assert_array_equal(spoken.codes[0], best.codes)


def test_takes_in_steps_are_the_whole_ones(model, voice):
    synthesizer = Synthesizer(model, SynthesisConfig(vocoder="griffin_lim", candidates=2))
    attempts = [Attempt("Hello there.", 0, number) for number in range(2)]
    steps, takes = synthesizer.taking(attempts, voice), None
    while takes is None:
        try:
            next(steps)
        except StopIteration as end:
            takes = end.value
    for attempt, take in zip(attempts, takes, strict=True):
        once = synthesizer.take(attempt, voice)
        np.testing.assert_array_equal(take.waveform, once.waveform)
        assert take.score == pytest.approx(once.score, abs=1e-5)
        assert take.flags == once.flags
