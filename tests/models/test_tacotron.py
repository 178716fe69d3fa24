"""Tacotron: equal to fatchord's, by recorded numbers, and what its own options do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from myxtts.errors import CheckpointError
from myxtts.models.tacotron import Masks, Tacotron
from myxtts.models.tacotron_decoder import LSTMCell
from myxtts.synthesizer_config import TacotronConfig
from myxtts.synthesizer_losses import spoken_attention, tacotron_losses
from myxtts.weights import rtvc_synthesizer as rtvc
from myxtts.weights.rtvc import undone
from tests.sv2tts_fixtures import fixture, keys_of, weights

TOLERANCE = 1e-4
TINY = TacotronConfig(
    embed_dims=12,
    encoder_dims=8,
    decoder_dims=6,
    n_mels=5,
    postnet_dims=8,
    encoder_kernels=3,
    lstm_dims=10,
    postnet_kernels=2,
    num_highways=1,
    prenet_dims=8,
    speaker_dims=4,
)


def near(made, wanted, tolerance=TOLERANCE):
    made, wanted = np.asarray(made), np.asarray(wanted)
    assert made.shape == wanted.shape
    assert np.abs(made - wanted).max() <= tolerance * np.abs(wanted).max()


def far(made, wanted):
    assert np.abs(np.asarray(made) - wanted).max() > 10 * TOLERANCE * np.abs(wanted).max()


def ported(arrays: dict, r: int = 2, **changes) -> Tacotron:
    """The model of a fixture's state."""
    config = rtvc.sizes(arrays)
    config = TacotronConfig(**{**vars(config), "dropout": 0.0, **changes})
    model = Tacotron(config)
    model.build()
    rtvc.load(model, arrays)
    model.r = r
    return model


def turned(array):
    return np.swapaxes(array, 1, 2)


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits)))


def inputs(data):
    return data["in/chars"].astype("int32"), data["in/speaker_embedding"]


def test_encoder_and_postnet_are_the_originals():
    data = fixture("tacotron_forward_eval")
    model = ported(weights(data))
    ids, embeddings = inputs(data)
    near(model.encoder(ids), data["out/encoder_without_speaker"])
    hidden, projected, _ = model.encode(ids, embeddings)
    near(hidden, data["out/encoder"])
    near(projected, data["out/encoder_proj"])
    mels = turned(data["in/postnet_mels"])
    near(model.postnet(mels), data["out/postnet"])
    near(model.refine(mels), data["out/post_proj"])


@pytest.mark.parametrize("r", [1, 2, 3, 7])
def test_forward_is_the_originals(r):
    data = fixture("tacotron_forward_eval")
    model = ported(weights(data), r)
    spoken = model(*inputs(data), turned(data[f"in/r{r}/mels"]))
    near(turned(spoken.mel), data[f"out/r{r}/mel"])
    near(turned(spoken.linear), data[f"out/r{r}/linear"])
    near(spoken.attention, data[f"out/r{r}/attention"])
    near(sigmoid(spoken.stop), data[f"out/r{r}/stop"])
    other = ported(weights(data), r, masked_attention=True)
    far(other(*inputs(data), turned(data[f"in/r{r}/mels"])).attention, data[f"out/r{r}/attention"])


CASES = ["nostop_r1", "nostop_r2", "nostop_r3", "early_r1", "early_r2", "early_r3", "mid_r2"]


@pytest.mark.parametrize("case", CASES)
def test_generation_is_the_originals(case):
    data = fixture("tacotron_generate_nodropout")
    if f"in/{case}/stop_bias" not in data:
        pytest.skip(f"this set has no case {case}")
    arrays = weights(data)
    arrays["decoder.stop_proj.bias"] = np.reshape(data[f"in/{case}/stop_bias"], (1,))
    model = ported(arrays, int(case[-1]))
    limit = 40 if case.startswith("nostop") else 200
    spoken = speak(model)(*inputs(data), limit)
    near(turned(spoken.mel), data[f"out/{case}/mel"])
    near(turned(spoken.linear), data[f"out/{case}/linear"])
    near(spoken.attention, data[f"out/{case}/attention"])
    assert np.asarray(spoken.ended).all() == (not case.startswith("nostop"))


def speak(model):
    return tf.function(lambda ids, own, limit, masks=None: model.generate(
        ids, own, limit=limit, masks=masks), autograph=False)  # fmt: skip


def test_a_text_alone_differs_from_its_row():
    data = fixture("tacotron_generate_nodropout")
    arrays = weights(data)
    arrays["decoder.stop_proj.bias"] = np.array([-20.0], "float32")
    ids, embeddings = inputs(data)
    wanted = data["out/third_text_alone_r2/mel"]
    width = data["out/third_text_alone_r2/attention"].shape[2]
    spoken = speak(ported(arrays))(ids[2:, :width], embeddings[2:], 40)
    near(turned(spoken.mel), wanted)
    far(turned(speak(ported(arrays))(ids, embeddings, 40).mel)[2:], wanted)


@pytest.mark.parametrize("case", range(3))
def test_it_stops_where_the_original_does(case):
    data = fixture("tacotron_generate_stop")
    arrays = weights(data)
    arrays["decoder.stop_proj.weight"] = data[f"in/{case}/stop_weight"]
    arrays["decoder.stop_proj.bias"] = np.reshape(data[f"in/{case}/stop_bias"], (1,))
    model = ported(arrays, int(data[f"in/{case}/r"]))
    spoken = speak(model)(*inputs(data), 300)
    near(turned(spoken.mel), data[f"out/{case}/mel"])
    near(turned(spoken.linear), data[f"out/{case}/linear"])
    rows = ported(arrays, model.r, stop_by_rows=True)
    lengths = np.asarray(speak(rows)(*inputs(data), 300).lengths)
    assert lengths.max() <= spoken.mel.shape[1] and lengths.min() < lengths.max()


def test_dropout_of_generation_is_the_originals():
    data = fixture("tacotron_generate_dropout")
    arrays = weights(data)
    if "in/stop_bias" not in data:
        arrays["decoder.stop_proj.bias"] = np.array([-20.0], "float32")
    model = ported(arrays, dropout=0.5)
    kept = data["in/mask_encoder_prenet"], data["in/mask_decoder_prenet"]
    masks = Masks(*(mask.astype("float32") for mask in kept))
    spoken = speak(model)(*inputs(data), 40, masks)
    for name in ("mel", "linear"):
        near(turned(getattr(spoken, name)), data[f"out/{name}"])
    near(spoken.attention, data["out/attention"])
    far(turned(speak(model)(*inputs(data), 40).mel), data["out/mel"])


def trained(zoneout=True):
    data = fixture("tacotron_train_step")
    model = ported(weights(data), dropout=0.5)
    masks = Masks(*(data[f"in/mask_{name}"].astype("float32") for name in
                    ("encoder_prenet", "decoder_prenet", "zoneout")))  # fmt: skip
    masks = masks if zoneout else masks._replace(zoneout=None)
    mels = turned(data["in/mels"])
    with tf.GradientTape() as tape:
        spoken = model(*inputs(data), mels, masks=masks, training=True)
        parts = tacotron_losses(spoken, mels, data["in/stop_targets"])
        loss = parts["m1"] + parts["m2"] + parts["stop"]
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [item.value for item in variables])
    return data, model, spoken, parts, loss, dict(zip(map(id, variables), gradients, strict=True))


def test_a_training_step_is_the_originals():
    data, model, spoken, parts, loss, gradients = trained()
    for name in ("mel", "linear"):
        near(turned(getattr(spoken, name)), data[f"out/{name}"])
    near(sigmoid(spoken.stop), data["out/stop"])
    for name in ("m1", "m2", "stop"):
        near(parts[name], data[f"out/{name}_loss"])
    near(loss, data["out/loss"])
    own = {name: gradients.get(id(v)) for name, v in model.variables_by_name().items()}
    own = {name: np.asarray(tf.convert_to_tensor(v)) for name, v in own.items() if v is not None}
    made = undone(rtvc.rules(model.config), own)
    wanted = {key[5:]: data[key] for key in data if key.startswith("grad/")}
    assert made.keys() == wanted.keys()
    scale = float(data["out/grad_norm"])
    for key in wanted:
        close = np.abs(made[key] - wanted[key]).max()
        assert close <= TOLERANCE * max(np.abs(wanted[key]).max(), 1e-3 * scale), key
    near(np.sqrt(sum(float(np.sum(v.astype("float64") ** 2)) for v in made.values())), scale)
    state = rtvc.state(model)
    after = {key[6:]: data[key] for key in data if key.startswith("after/")}
    for key in after:
        if key.endswith(("running_mean", "running_var")):
            near(state[key], after[key])


@pytest.mark.parametrize("zoned", [False, True])
def test_an_lstm_over_all_steps_is_its_cell_step_by_step(zoned):
    rng, shape = np.random.default_rng(0), (6, 3, 4)
    x, wanted = (tf.constant(rng.normal(size=shape), "float32") for _ in range(2))
    kept = tf.constant(rng.random(shape) < 0.4 if zoned else np.zeros(shape), "float32")
    cell = LSTMCell(4)
    cell.build()

    def by_steps():
        hidden = state = tf.zeros(shape[1:])
        outputs = []
        for row, old in zip(x, kept, strict=True):
            new, state = cell(row, hidden, state)
            hidden = hidden * old + new * (1.0 - old)
            outputs.append(hidden)
        return tf.stack(outputs)

    def all_of(make):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = make()
            loss = tf.reduce_sum(outputs * wanted)
        return [outputs, *tape.gradient(loss, [x, *(v.value for v in cell.trainable_variables)])]

    for found, expected in zip(
        all_of(lambda: cell.run(x, kept if zoned else None)), all_of(by_steps), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_without_zoneout_a_training_step_differs():
    data, _, spoken, *_ = trained(zoneout=False)
    far(turned(spoken.mel), data["out/mel"])


def seeded(keys: dict, base: int) -> dict:
    """Weights of the full size by the rule of the fixtures' README."""
    made = {}
    for place, key in enumerate(sorted(keys)):
        shape, kind = keys[key]
        if kind != "float32" or key == "stop_threshold":
            continue
        n = np.random.RandomState(1000 * base + place).standard_normal(shape)
        if key.endswith("running_var"):
            n = 0.5 + np.abs(n)
        elif key.endswith("running_mean"):
            n = 0.3 * n
        elif "bnorm" in key and key.endswith("weight"):
            n = 1 + 0.2 * n
        elif key.endswith("embedding.weight"):
            n = 0.5 * n
        elif len(shape) == 1:
            n = 0.1 * n
        else:
            n = n * 1.2 / np.sqrt(np.prod(shape[1:]))
        made[key] = (n * 6 if key == "decoder.attn_net.v.weight" else n).astype("float32")
    return made


def test_the_full_size_is_the_originals():
    data = fixture("full_size_seeded")
    model = ported(seeded(keys_of("synthesizer"), 710 + int(data["seed"])))
    ids = np.random.RandomState(2).randint(2, 64, (2, 20)).astype("int32")
    ids[1, 15:] = 0
    mels = np.clip(2 * np.random.RandomState(3).standard_normal((2, 80, 12)), -4, 4)
    embeddings = np.abs(np.random.RandomState(4).standard_normal((2, 256)))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    spoken = model(ids, embeddings.astype("float32"), turned(mels).astype("float32"))
    near(turned(spoken.mel), data["tacotron/out/mel"])
    near(turned(spoken.linear), data["tacotron/out/linear"])
    near(spoken.attention, data["tacotron/out/attention"])
    near(sigmoid(spoken.stop), data["tacotron/out/stop"])
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 30_870_177


def tiny(seed=0, **changes) -> Tacotron:
    keras.utils.set_random_seed(seed)
    model = Tacotron(TacotronConfig(**{**vars(TINY), **changes}))
    model.build()
    return model


def test_padding_gets_no_attention():
    ids = np.array([[3, 4, 5, 0, 0]], "int32")
    mels, own = np.zeros((1, 4, 5), "float32"), np.ones((1, 4), "float32")
    assert np.all(np.asarray(tiny()(ids, own, mels).attention)[..., 3:] == 0)
    padded = tiny(masked_attention=False)(ids, own, mels).attention
    assert np.all(np.asarray(padded)[..., 3:] > 0)


def test_a_seed_says_what_is_heard():
    model, own = tiny(dropout_in_speech=True), np.ones((1, 4), "float32")
    first, again, other = (
        np.asarray(model.generate(np.array([[3, 4]]), own, limit=8, seed=s).mel) for s in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_preset_holds_the_model(tmp_path):
    model = tiny()
    model.r, model.step = 3, 17
    model.save_to_preset(tmp_path / "preset")
    again = Tacotron.from_preset(tmp_path / "preset")
    assert (again.r, again.step, again.config) == (3, 17, model.config)
    for name, value in again.variables_by_name().items():
        assert np.array_equal(value, model.variables_by_name()[name])
    path = tmp_path / "preset" / "config.yaml"
    path.write_text(path.read_text().replace("lstm_dims: 10", "lstm_dims: 11"))
    with pytest.raises(CheckpointError, match="damaged"):
        Tacotron.from_preset(tmp_path / "preset")


def test_attention_to_the_character_that_is_spoken():
    characters = np.array([4, 3])
    paths = np.array([[0.0, 0.25, 0.75], [0.0, -1.0, -1.0]], "float32")
    right = np.zeros((2, 3, 4), "float32")
    right[0, [0, 1, 2], [0, 1, 3]] = right[1, 0, 0] = 1.0
    # Of the second text nobody knows the last two steps.
    right[1, 1:, 2] = 1.0
    assert float(spoken_attention(right, characters, paths)) == pytest.approx(0, abs=1e-3)
    beside = np.roll(right, 1, axis=2)
    lost = float(spoken_attention(beside, characters, paths))
    assert 0.4 < lost < float(spoken_attention(np.roll(right, 2, axis=2), characters, paths))
    unknown = np.full_like(paths, -1.0)
    assert float(spoken_attention(beside, characters, unknown)) == 0.0
