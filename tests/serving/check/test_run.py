"""The checks of an export pass a sound one, and notice what is wrong with another."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import CheckpointError
from myxtts.models.xtts import XTTS
from myxtts.serving.check import compare as check_compare
from myxtts.serving.check import rules as check_rules
from myxtts.serving.check.compare import Failed, difference, own_part
from myxtts.serving.check.process import ABORTED, SeparateSession
from myxtts.serving.check.requests import every_language, random_sentences, random_words
from myxtts.serving.check.rules import NO_SIGNATURE, ServedExport, read_about
from myxtts.serving.check.run import Check, check_export
from myxtts.serving.check.session import SessionError
from myxtts.serving.export import export_saved_model
from myxtts.serving.graph.text.tokenizer import GraphTokenizer
from myxtts.text.languages import LANGUAGES
from myxtts.text.phonemes import STRETCH
from myxtts.text.tokenizer import character_tokenizer
from tests.istft import istft_config
from tests.serving.small_exports import TEXT, speak, start, write_export

FEW = {"requests": 8, "sentences": 8}
SOUND = {"serving_default": (speak, TEXT), "stream_start": (start, TEXT)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_export(tmp_path_factory.mktemp("sound") / "1", SOUND)


@pytest.fixture(scope="module")
def export(sound):
    with SeparateSession(sound) as session:
        yield ServedExport(session, read_about(sound))


def served(tmp_path, function) -> ServedExport:
    folder = write_export(tmp_path / "1", {"serving_default": (function, TEXT)})
    return ServedExport(SeparateSession(folder), read_about(folder))


def failures(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.detail for check in checks if not check.passed}


def test_a_sound_export_passes_every_check(sound):
    names = []
    checks = check_export(sound, None, names.append, **FEW)
    assert failures(checks) == {}
    assert [check.name for check in checks] == names
    assert {"core operations", "signature serving_default", "memory"} <= set(names)
    details = {check.name: check.detail for check in checks}
    assert details["8 threads on one session"] == "8 identical replies"
    assert "refused" in details["bad requests to serving_default"]


def test_a_python_function_fails_the_audit_and_the_run(tmp_path):
    def planted(text, language):
        spoken = speak(text, language)
        return spoken | {"waveform": tf.py_function(lambda x: x, [spoken["waveform"]], "float32")}

    folder = write_export(tmp_path / "1", {"serving_default": (planted, TEXT)})
    found = failures(check_export(folder, None, **FEW))
    assert found["core operations"] == "not of TensorFlow's core: EagerPyFunc"
    assert "signature serving_default" in found


def test_an_output_that_depends_on_the_batch_is_noticed(tmp_path):
    def mixed(text, language):
        spoken = speak(text, language)
        loudness = 1 + 0.01 * tf.cast(tf.size(text), "float32")
        return spoken | {"waveform": loudness * spoken["waveform"]}

    export = served(tmp_path, mixed)
    with export.session, pytest.raises(Failed, match="waveform is .* of its peak apart"):
        check_rules.batch(export)


def test_threads_that_disturb_each_other_are_noticed(tmp_path):
    def random(text, language):
        spoken = speak(text, language)
        return spoken | {"waveform": spoken["waveform"] * tf.random.uniform([])}

    export = served(tmp_path, random)
    with export.session, pytest.raises(Failed, match="waveform differs between threads"):
        check_rules.threads(export)


def test_audio_that_is_no_number_is_noticed(tmp_path):
    def broken(text, language):
        spoken = speak(text, language)
        return spoken | {"waveform": spoken["waveform"] / 0.0}

    export = served(tmp_path, broken)
    with export.session, pytest.raises(Failed, match="waveform holds NaN"):
        check_rules.runs(export, "serving_default", None)


def test_a_bad_request_that_ends_the_process_is_noticed(export, monkeypatch):
    run = export.session.run

    def ending(signature, inputs):
        if not len(inputs["text"]):
            raise SessionError("the process of the C library ended with status -6.", ABORTED)
        return run(signature, inputs)

    monkeypatch.setattr(export.session, "run", ending)
    with pytest.raises(Failed, match="a batch of no rows: the process .* ended"):
        check_rules.bad(export, "serving_default")


def test_memory_that_grows_is_noticed(export, monkeypatch):
    monkeypatch.setattr(check_rules, "memory_series", lambda *_: np.linspace(1e9, 1.5e9, 40))
    with pytest.raises(Failed, match="it grew by"):
        check_rules.memory(export, 40)


def test_ids_unlike_the_tokenizers_are_noticed_and_refusals_counted(export):
    def model(encode):
        return SimpleNamespace(tokenizer=SimpleNamespace(encode=encode, phonemes={}))

    same = model(lambda text, language: list(map(ord, text)))
    told = check_rules.text_ids(export, same, 40)
    assert "equal" in told
    assert "refused for a number" in told
    others = model(lambda text, language: [*map(ord, text[:-1]), 1])
    with pytest.raises(Failed, match="has the ids"):
        check_rules.text_ids(export, others, 40)


def test_what_an_export_lacks_is_skipped(tmp_path):
    export = served(tmp_path, speak)
    with export.session:
        assert check_rules.text_ids(export, None, 4) == NO_SIGNATURE


def test_an_export_that_cannot_be_loaded_fails_one_check(sound, tmp_path):
    import shutil

    folder = shutil.copytree(sound, tmp_path / "1")
    (folder / "variables" / "variables.index").write_bytes(b"")
    description = folder / "saved_model.pb"
    description.write_bytes(description.read_bytes().replace(b"serve", b"train"))
    found = failures(check_export(folder, None))
    assert list(found) == ["loaded by the C library"]


def test_a_folder_that_is_no_export_is_named(tmp_path):
    with pytest.raises(CheckpointError):
        check_export(tmp_path, None)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"waveform": np.float32([[0.5, -1.0, 0.002]])}, "of its peak apart"),
        ({"waveform": np.float32([[0.5, np.nan, 0.0]])}, "of its peak apart"),
        ({"waveform": np.float32([[0.5, -1.0]])}, "has the shape"),
        ({"samples": np.int32([2])}, "samples is .2., not .3."),
        ({"more": np.int32([2])}, "outputs differ: more"),
    ],
)
def test_a_difference_is_noticed(changed, sentence):
    expected = {"waveform": np.float32([[0.5, -1.0, 0.0]]), "samples": np.int32([3])}
    close = expected | {"waveform": expected["waveform"] + np.float32(5e-5)}
    assert 0 < difference(close, expected) <= check_compare.TOLERANCE
    with pytest.raises(Failed, match=sentence):
        difference(expected | changed, expected)


def test_only_padding_may_follow_a_row_of_a_batch():
    alone = {"codes": np.int32([[1, 2]])}
    found = own_part({"codes": np.int32([[1, 2, 9, 9], [5, 6, 7, 8]])}, 0, alone)
    np.testing.assert_array_equal(found["codes"], alone["codes"])
    with pytest.raises(Failed, match="goes on behind its end"):
        own_part({"codes": np.int32([[5, 6, 7, 8], [1, 2, 9, 0]])}, 1, alone)


def test_every_language_is_asked_greedily_and_sampled():
    found = every_language({"languages": ["de", "en"]})
    assert found["language"].tolist() == ["de", "de", "en", "en"]
    assert (found["temperature"] == 0).tolist() == [True, False] * 2
    assert {len(value) for value in found.values()} == {4}


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_have_numbers_and_texts_the_size_wanted(language):
    rng = np.random.default_rng(0)
    sentences = list(random_sentences(language, 40, rng))
    assert len(set(sentences)) > 30
    assert any(any(map(str.isdigit, text)) for text in sentences)
    assert all(1 <= len(random_words(language, size, rng)) <= size for size in (1, 7, 60))


def test_sentences_have_phonemes_where_the_vocabulary_has_them():
    sentences = list(random_sentences("en", 60, np.random.default_rng(0), "hɛɹ"))
    stretches = [found for text in sentences for found in STRETCH.findall(text)]
    assert len(stretches) > 20 and set("".join(stretches)) >= set("hɛɹ ,")
    assert any(text.count("[") != text.count("]") for text in sentences)


@pytest.fixture(scope="module")
def speller():
    """A vocabulary of letters and phonemes."""
    return character_tokenizer([("A year's cats, no?", "en")], 400)


def tokenising(tmp_path, tokenizer) -> ServedExport:
    """An export that only tokenises, in a graph."""
    graph = GraphTokenizer(tokenizer, 90)

    def spelled(text, language) -> dict:
        return graph(text, language)

    functions = {"serving_default": (speak, TEXT), "stream_start": (spelled, TEXT)}
    folder = write_export(tmp_path / "1", functions)
    return ServedExport(SeparateSession(folder), read_about(folder))


@pytest.mark.slow
def test_ids_of_letters_and_phonemes_are_compared(speller, tmp_path):
    with tokenising(tmp_path, speller).session as session:
        export = ServedExport(session, read_about(tmp_path / "1"))
        told = check_rules.text_ids(export, SimpleNamespace(tokenizer=speller), 200)
    assert int(told.split(" equal")[0].split()[-1]) > 150


def test_phonemes_with_other_ids_are_noticed(speller, tmp_path):
    texts = [("A year's cats, no?", "en")]
    other = character_tokenizer([*texts, ("ä", "en")], 400)  # every phoneme is one id later
    with tokenising(tmp_path, other).session as session:
        export = ServedExport(session, read_about(tmp_path / "1"))
        with pytest.raises(Failed, match="has the ids"):
            check_rules.text_ids(export, SimpleNamespace(tokenizer=speller), 20)


@pytest.fixture(scope="module")
def model(trained):
    return XTTS.from_preset(trained.preset)


@pytest.mark.slow
@pytest.mark.parametrize(("vocoder", "half"), [("hifi", False), ("griffin_lim", True)])
def test_an_export_of_a_model_passes_every_check(model, tmp_path, vocoder, half):
    folder = tmp_path / "1"
    export_saved_model(model, folder, vocoder, half=half)
    weights = model.gpt.get_weights()
    checks = check_export(folder, model)
    assert failures(checks) == {}
    details = {check.name: check.detail for check in checks}
    described = json.loads((folder / "assets.extra" / "signatures.json").read_text())
    for name in described:
        assert "of the peak from the model" in details[f"signature {name}"]
    assert (details["text ids"] == NO_SIGNATURE) == ("stream_start" not in described)
    for own, kept in zip(weights, model.gpt.get_weights(), strict=True):
        np.testing.assert_array_equal(own, kept)


@pytest.mark.slow
def test_an_export_of_another_model_is_noticed(model, trained, tmp_path):
    export_saved_model(model, tmp_path / "1", "hifi")
    other = XTTS.from_preset(trained.preset)
    for weight in other.audio_encoder.trainable_weights:
        weight.assign(weight * 1.05)
    found = failures(check_export(tmp_path / "1", other, **FEW))
    assert "of its peak apart" in found["signature condition"]


def test_harmonics_may_lie_further_apart(micro_config):
    assert check_compare.tolerance_of(None) == check_compare.TOLERANCE
    assert check_compare.tolerance_of(XTTS(micro_config, None)) == check_compare.TOLERANCE
    harmonic = XTTS(istft_config(micro_config, "harmonic"), None)
    assert check_compare.tolerance_of(harmonic) == check_compare.HARMONIC_TOLERANCE
