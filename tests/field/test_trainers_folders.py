"""XTTS-v2 folders as trainers and fine-tuners keep them are converted, or refused by name."""

import json
import logging
import os

import numpy as np
import pytest

from myxtts.config import XTTSConfig
from myxtts.errors import CheckpointError, ConfigError, WeightsError
from myxtts.generation.vocoding import choose_vocoder
from myxtts.models.xtts import XTTS
from myxtts.training.stages.xtts import make_model
from myxtts.weights.coqui_folder import open_folder
from myxtts.weights.coqui_voices import read_voice
from myxtts.weights.coqui_xtts import convert_checkpoint
from myxtts.weights.torch_file import read_torch_file
from tests.field.coqui_folders import TRAINERS, Source

torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

SPEAKING = ("config.json", "vocab.json")
HEAD = "gpt.text_head.bias"


@pytest.fixture(scope="module")
def source() -> Source:
    return Source()


class Strange:
    """A class that no reader knows."""

    def __init__(self):
        self.note = [1, 2]


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def head(model: XTTS) -> np.ndarray:
    return np.asarray(model.gpt.text_head.bias)


def test_a_run_folder_speaks_from_its_newest_best_model(source, tmp_path, caplog):
    """Trainer's arguments, prefixes, optimiser, numpy scalars, no dvae.pth, no mel_stats.pth."""
    caplog.set_level(logging.INFO)
    args = source.config["model_args"] | TRAINERS | {"a_fork's_own": 3}
    lengths = {"gpt_cond_len": 12, "gpt_cond_chunk_len": 6, "max_ref_len": 10}
    source.write(tmp_path, *SPEAKING, model_args=args, sound_norm_refs=True, **lengths)
    for name, value in (("best_model_900", 9.0), ("best_model_1234", 1.0), ("checkpoint_2000", 7)):
        state = {f"module.xtts.{key}": value for key, value in source.model.items()}
        state[f"module.xtts.{HEAD}"] = torch.full_like(source.model[HEAD], value)
        beside = {"optimizer": {"state": {0: {"step": 3}}}, "model_loss": np.float64(1.5)}
        beside |= {"config": Strange(), "scaler": None, "step": 1234, "epoch": np.int64(2)}
        torch.save(beside | {"model": state}, tmp_path / f"{name}.pth")
    model = convert_checkpoint(tmp_path)
    assert set(model.source) == {"config.json", "vocab.json", "best_model_1234.pth"}
    np.testing.assert_array_equal(head(model), 1.0)
    settings = model.config.synthesis
    assert (settings.gpt_cond_len, settings.gpt_cond_chunk_len) == (12, 6)
    assert (settings.max_ref_length, settings.sound_norm_refs) == (10, True)
    assert (
        "best_model_1234.pth; there are best_model_900.pth, checkpoint_2000.pth too" in caplog.text
    )
    assert "there is no dvae.pth: the model can speak, but not be fine-tuned" in caplog.text
    assert head(convert_checkpoint(tmp_path / "checkpoint_2000.pth"))[0] == 7
    refuses_what_needs_the_dvae(model, tmp_path / "preset")


def refuses_what_needs_the_dvae(model: XTTS, preset):
    assert choose_vocoder(model, "auto") == "hifi"
    with pytest.raises(ConfigError, match=r"griffin_lim: this model was converted without"):
        choose_vocoder(model, "griffin_lim")
    model.save_to_preset(preset)
    stored = XTTSConfig.from_yaml(preset / "config.yaml")
    with pytest.raises(CheckpointError, match=r"was converted without its dvae\.pth"):
        make_model(stored.merged({"training": {"init_from": str(preset)}}), preset / "no run")


@pytest.mark.parametrize(
    ("names", "step", "chosen"),
    [
        (("best_model", "best_model_30", "checkpoint_40"), 30, "best_model"),
        (("best_model", "best_model_30"), 20, "best_model_30"),
        (("checkpoint_9", "checkpoint_10"), 0, "checkpoint_10"),
        (("model", "checkpoint_10", "dvae"), 0, "model"),
        (("model", "best_model_5"), 0, "best_model_5"),
    ],
)
def test_which_weights_are_taken(tmp_path, names, step, chosen):
    for name in names:
        torch.save({"step": step}, tmp_path / f"{name}.pth")
    assert open_folder(tmp_path).weights.stem == chosen


def test_weights_of_another_name_are_named(source, tmp_path):
    source.write(tmp_path, *SPEAKING)
    torch.save({}, tmp_path / "anna.pth")
    with pytest.raises(WeightsError, match=r"has no best_model\.pth.*It holds anna\.pth: give one"):
        convert_checkpoint(tmp_path)


def test_a_run_below_the_folder_is_named(tmp_path):
    run = tmp_path / "training" / "GPT_XTTS_FT-June-01-2024"
    run.mkdir(parents=True)
    torch.save({}, run / "best_model_70.pth")
    with pytest.raises(WeightsError, match=r"lacks model\.pth.*01-2024 has some: name that"):
        convert_checkpoint(tmp_path)


def test_files_that_a_trainers_configuration_names_are_found(source, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    originals = source.write(tmp_path / "original", "vocab.json", "dvae.pth")
    paths = {
        "tokenizer_file": r"C:\training\original\vocab.json",
        "dvae_checkpoint": str(originals / "dvae.pth"),
    }
    args = source.config["model_args"] | TRAINERS | paths
    run = source.write(tmp_path / "run", "config.json", "model.pth", model_args=args)
    assert convert_checkpoint(run).trained_steps == {"dvae": 1, "gpt": 1, "decoder": 1}
    assert f"vocab.json is taken from {originals / 'vocab.json'}" in caplog.text
    (originals / "vocab.json").unlink()
    with pytest.raises(WeightsError, match=r"lacks vocab\.json.*belongs to model\.pth"):
        convert_checkpoint(run)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read(source, tmp_path, kind):
    state = {key: value.to(kind) for key, value in source.model.items()}
    source.write(tmp_path, weights={"model": state})
    model = convert_checkpoint(tmp_path)
    np.testing.assert_array_equal(head(model), state[HEAD].float().numpy())
    np.testing.assert_array_equal(model.mel_norm.mel_stats, state["mel_stats"].float().numpy())
    torch.save(source.model["mel_stats"] * 1.02, tmp_path / "mel_stats.pth")
    with pytest.raises(WeightsError, match=r"mel_stats\.pth does not hold the mel_stats of"):
        convert_checkpoint(tmp_path)


def test_a_state_dictionary_alone_is_read(source, tmp_path):
    source.write(tmp_path, *SPEAKING, "model.pth", weights=source.model)
    np.testing.assert_array_equal(head(convert_checkpoint(tmp_path)), source.model[HEAD].numpy())


@pytest.mark.parametrize(("change", "works"), [(-3, False), (5, True)])
def test_other_token_counts(source, tmp_path, caplog, change, works):
    """Fewer entries than the vocabulary has cannot be spoken with; more are an extended model's."""
    caplog.set_level(logging.INFO)
    state, tokens = dict(source.model), len(source.model[HEAD])
    for key in ("gpt.text_embedding.weight", "gpt.text_head.weight", HEAD):
        rows = state[key][:change] if change < 0 else state[key][:change].clone()
        state[key] = rows.clone() if change < 0 else torch.cat([state[key], rows])
    source.write(tmp_path, weights={"model": state})
    told = rf"vocab\.json has {tokens} tokens.*{tokens + change}"
    if works:
        assert convert_checkpoint(tmp_path).config.model.gpt.num_text_tokens == tokens + change
        assert f"has {tokens} tokens and the weights {tokens + change}" in caplog.text
    else:
        with pytest.raises(WeightsError, match=told):
            convert_checkpoint(tmp_path)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_lies_beside_tensors_is_read_past_and_never_run(tmp_path, protocol, zipped):
    marker, path = tmp_path / "marker", tmp_path / "m.pth"
    content = {
        "harm": Harmful(marker),
        "loss": np.float32(0.5),
        "strange": Strange(),
        "random": np.random.default_rng(0),
        "model": {"a": torch.arange(3.0), "own": Harmful(marker), 5: torch.ones(1)},
    }
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": zipped}
    torch.save(content, path, **options)
    arrays = read_torch_file(path, "model")
    assert {key: value.tolist() for key, value in arrays.items()} == {"a": [0, 1, 2]}
    torch.save({"model": Harmful(marker)}, path, **options)
    with pytest.raises(WeightsError, match="is refused: it holds an object of .*mkdir"):
        read_torch_file(path, "model")
    assert not marker.exists()


def latents(scale: float = 1.0) -> dict:
    return {
        "gpt_cond_latent": torch.full((1, 4, 8), scale),
        "speaker_embedding": torch.full((1, 6, 1), scale),
    }


def as_lists(table: dict) -> dict:
    return {name: tensor.squeeze().half().tolist() for name, tensor in table.items()}


def test_speakers_are_found_by_name(tmp_path):
    """``speakers_xtts.pth``, and the same as JSON."""
    torch.save({"Anna A": latents(0.5), "Ben": latents(2)}, tmp_path / "speakers_xtts.pth")
    named = {"Anna A": as_lists(latents(0.5)), "Ben": as_lists(latents(2))}
    (tmp_path / "named.json").write_text(json.dumps(named))
    (tmp_path / "one.json").write_text(json.dumps(as_lists(latents(0.5))))
    for name, speaker in (
        ("speakers_xtts.pth", "Anna A"),
        ("named.json", "Anna A"),
        ("one.json", None),
    ):
        found = read_voice(tmp_path / name, speaker)
        assert found.latents.shape == (1, 4, 8)
        assert found.speaker_embedding.shape == (1, 6)
        np.testing.assert_array_equal(found.latents, 0.5)
    for speaker in (None, "Carl"):
        with pytest.raises(CheckpointError, match="Anna A, Ben"):
            read_voice(tmp_path / "speakers_xtts.pth", speaker)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "cannot be read as voices"),
        ("a.json", "[1]", "is no object"),
        ("a.json", '{"gpt_cond_latent": [[1, 2]]}', "speaker_embedding is missing"),
        ("a.json", '{"gpt_cond_latent": [[NaN]], "speaker_embedding": [1]}', "NaN or infinite"),
        ("a.json", '{"gpt_cond_latent": ["x"], "speaker_embedding": [1]}', "no array of numbers"),
        ("a.pth", "text", "cannot be read as voices"),
    ],
)
def test_files_without_voices_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_voice(tmp_path / name)
