"""Real-Time-Voice-Cloning's own code beside this one, where its repository is on the machine.

MYXTTS_RTVC=path/to/Real-Time-Voice-Cloning pytest tests/weights/test_rtvc_live.py
"""

import importlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from myxtts.audio.analysis import mel_of
from myxtts.audio.frontends import RESEMBLYZER, RTVC_SYNTHESIZER, MelSpec
from myxtts.generation.wavernn import KernelEngine, generate
from myxtts.models.resemblyzer import ResemblyzerEncoder
from myxtts.models.tacotron import Tacotron
from myxtts.models.wavernn import WaveRNN
from myxtts.speaker_losses import SimilarityLoss
from myxtts.synthesizer_config import SynthesizerTrainingConfig
from myxtts.synthesizer_losses import tacotron_losses
from myxtts.text.symbols import SYMBOLS, SymbolTokenizer
from myxtts.training.optimizers import Since
from myxtts.training.stages.synthesizer import make_adam
from myxtts.verification.batch_eer import similarity_eer
from myxtts.vocoder_config import WaveRNNConfig
from myxtts.weights import rtvc_encoder, rtvc_synthesizer, rtvc_vocoder
from tests.models.test_tacotron import near, sigmoid, turned

VARIABLE = "MYXTTS_RTVC"
PACKAGES = ("encoder", "synthesizer", "vocoder", "utils")
# No dropout; with 0 the original's encoder turns what its gradient wants in place.
NO_DROPOUT = 1e-9
SIZES = {
    "embed_dims": 12,
    "num_chars": len(SYMBOLS),
    "encoder_dims": 8,
    "decoder_dims": 8,
    "n_mels": 6,
    "fft_bins": 6,
    "postnet_dims": 8,
    "encoder_K": 3,
    "lstm_dims": 16,
    "postnet_K": 3,
    "num_highways": 2,
    "stop_threshold": -3.4,
    "speaker_embedding_size": 10,
}
VOCODER = WaveRNNConfig(
    feat_dims=6,
    rnn_dims=20,
    fc_dims=16,
    compute_dims=12,
    res_out_dims=8,
    res_blocks=2,
    upsample_factors=(2, 5),
)


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    return torch


@pytest.fixture
def rtvc(monkeypatch, torch):
    """Imports one of RTVC's modules, which want names that numpy and librosa had once."""
    place = os.environ.get(VARIABLE)
    if not place:
        pytest.skip(f"{VARIABLE} names no checkout of Real-Time-Voice-Cloning")
    if not (Path(place) / "synthesizer" / "models" / "tacotron.py").is_file():
        pytest.fail(f"{VARIABLE}={place} is no checkout of Real-Time-Voice-Cloning")
    for name, value in (("int", int), ("complex", complex), ("cumproduct", np.cumprod)):
        monkeypatch.setattr(np, name, value, raising=False)
    monkeypatch.syspath_prepend(place)

    def module(name):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name} of Real-Time-Voice-Cloning cannot be imported: {error}")

    yield module
    for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[name]


def shaken(module, torch, seed=0):
    """Weights and statistics that tell the layers apart."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.dtype != torch.float32 or name in ("stop_threshold", "similarity_weight"):
                continue
            noise = torch.randn(value.shape, generator=source)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif value.ndim < 2:
                value.add_(0.1 * noise)
            else:
                value.copy_(noise * 1.2 / float(np.prod(value.shape[1:])) ** 0.5)
    return module


@pytest.fixture
def tacotrons(rtvc, torch, tmp_path):
    """RTVC's network, ours read from its file, and what both are given."""
    network = shaken(
        rtvc("synthesizer.models.tacotron").Tacotron(**SIZES, dropout=NO_DROPOUT), torch
    )
    rng = np.random.default_rng(1)
    ids = rng.integers(2, len(SYMBOLS), (2, 9)).astype("int32")
    ids[1, 6:] = 0
    own = np.abs(rng.normal(size=(2, 10))).astype("float32")
    mels = rng.uniform(-4, 4, (2, 12, 6)).astype("float32")
    given = (
        torch.tensor(ids, dtype=torch.long),
        torch.tensor(turned(mels).copy()),
        torch.tensor(own),
    )
    path = tmp_path / "synthesizer.pt"

    def ours(r) -> Tacotron:
        network.r = r
        network.save(path)
        base = rtvc_synthesizer.read(path).config
        return rtvc_synthesizer.read(path, base=type(base)(**{**vars(base), "dropout": 0.0}))

    return SimpleNamespace(network=network, ours=ours, ids=ids, own=own, mels=mels, given=given)


@pytest.mark.parametrize("r", [1, 2, 3])
def test_the_synthesizer_says_what_rtvcs_says(tacotrons, torch, r):
    model, network = tacotrons.ours(r), tacotrons.network.eval()
    assert (model.r, model.step) == (r, 0)
    with torch.no_grad():
        mel, linear, attention, stop = network(*tacotrons.given)
    spoken = model(tacotrons.ids, tacotrons.own, tacotrons.mels)
    near(turned(spoken.mel), mel)
    near(turned(spoken.linear), linear)
    near(spoken.attention, attention)
    near(sigmoid(spoken.stop), stop)


@pytest.mark.parametrize("bias", [-20.0, 3.0])
def test_the_synthesizer_goes_on_alone_as_rtvcs(tacotrons, torch, bias):
    ids, _, own = tacotrons.given
    with torch.no_grad():
        tacotrons.network.decoder.stop_proj.bias.fill_(bias)
        model = tacotrons.ours(2)
        mel, linear, attention = tacotrons.network.generate(ids, own, steps=30)
    spoken = model.generate(tacotrons.ids, tacotrons.own, limit=30)
    assert np.shape(spoken.mel)[1] == (30 if bias < 0 else 14)
    near(turned(spoken.mel), mel)
    near(turned(spoken.linear), linear)
    near(spoken.attention, attention)


def made_adam(model: Tacotron):
    counted = tf.keras.Variable(0, dtype="int64", trainable=False)
    settings = SynthesizerTrainingConfig(schedule=("2:1e-3:100:2",), gradient_clip=1.0)
    return make_adam(settings, model, 0, counted, None)


def test_training_steps_of_the_synthesizer_are_rtvcs(tacotrons, torch):
    """Zone-out off on both sides."""
    functional, network = torch.nn.functional, tacotrons.network
    network.decoder.zoneout = lambda before, new, p=0.1: new
    model, adam = tacotrons.ours(2), torch.optim.Adam(network.parameters(), lr=1e-3)
    stops = np.zeros((2, 12), "float32")
    stops[:, 9:] = 1
    losses = []
    for _ in range(3):
        network.train()
        mel, linear, _, stop = network(*tacotrons.given)
        truth = tacotrons.given[1]
        loss = functional.mse_loss(mel, truth) + functional.l1_loss(mel, truth)
        loss = loss + functional.mse_loss(linear, truth)
        loss = loss + functional.binary_cross_entropy(stop, torch.tensor(stops))
        losses.append(float(loss.detach()))
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        adam.step()
    own = made_adam(model)
    assert isinstance(own._learning_rate, Since)
    for wanted in losses:
        masks = model.draw(tacotrons.ids, 6, True)._replace(zoneout=None)
        with tf.GradientTape() as tape:
            spoken = model(tacotrons.ids, tacotrons.own, tacotrons.mels, masks=masks, training=True)
            parts = tacotron_losses(spoken, tacotrons.mels, stops)
            loss = parts["m1"] + parts["m2"] + parts["stop"]
        assert float(loss) == pytest.approx(wanted, rel=1e-4)
        variables = model.trainable_variables
        own.apply(tape.gradient(loss, [item.value for item in variables]), variables)
    after = rtvc_synthesizer.state(model)
    for key, value in network.state_dict().items():
        if value.dtype == torch.float32:
            # Adam's steps are of the rate's size, even where a gradient is all rounding.
            assert np.median(np.abs(after[key] - value.numpy())) <= 3e-5, key


def test_rtvc_loads_a_synthesizer_of_ours(tacotrons, torch, tmp_path):
    model = tacotrons.ours(2)
    own = made_adam(model)
    variables = model.trainable_variables
    own.apply([0.01 * tf.ones(v.shape) for v in variables], variables)
    model.step = 1
    rtvc_synthesizer.write(tmp_path / "ours.pt", model, own)
    network = type(tacotrons.network)(**SIZES, dropout=NO_DROPOUT)
    adam = torch.optim.Adam(network.parameters())
    network.load(tmp_path / "ours.pt", adam)
    assert (network.r, network.get_step(), len(adam.state)) == (2, 1, len(variables_of(network)))
    with torch.no_grad():
        linear = network.eval()(*tacotrons.given)[1]
    near(turned(model(tacotrons.ids, tacotrons.own, tacotrons.mels).linear), linear)


def variables_of(network) -> list:
    return [item for item in network.parameters() if item.requires_grad]


@pytest.fixture
def vocoders(rtvc, torch, tmp_path):
    """RTVC's WaveRNN, and ours read from its file."""
    arguments = (
        VOCODER.rnn_dims, VOCODER.fc_dims, VOCODER.bits, VOCODER.pad, VOCODER.upsample_factors,
        VOCODER.feat_dims, VOCODER.compute_dims, VOCODER.res_out_dims, VOCODER.res_blocks,
        VOCODER.hop_length, 16_000,
    )  # fmt: skip
    kind = rtvc("vocoder.models.fatchord_version").WaveRNN
    network = shaken(kind(*arguments), torch)
    network.save(tmp_path / "vocoder.pt", torch.optim.Adam(network.parameters()))
    return network, rtvc_vocoder.open_vocoder(tmp_path / "vocoder.pt")[0]


def test_the_vocoder_hears_what_rtvcs_hears(vocoders, torch):
    network, model = vocoders
    rng, frames = np.random.default_rng(2), 6
    mels = rng.uniform(-1, 1, (2, frames + 2 * VOCODER.pad, 6)).astype("float32")
    last = rng.uniform(-1, 1, (2, frames * VOCODER.hop_length)).astype("float32")
    with torch.no_grad():
        logits = network.eval()(torch.tensor(last), torch.tensor(turned(mels).copy()))
    near(model((last, mels)), logits)


@pytest.mark.parametrize("batched", [False, True])
def test_the_vocoder_says_what_rtvcs_says(vocoders, torch, monkeypatch, batched):
    network, model = vocoders
    mel = np.random.default_rng(3).uniform(-1, 1, (30, 6)).astype("float32")
    target, overlap, drawn = 60, 20, []

    class Categorical:
        """torch's, with draws that can be told to the other side."""

        def __init__(self, chances):
            self.chances = chances.numpy().astype("float64")

        def sample(self):
            drawn.append(np.random.default_rng(len(drawn)).random(len(self.chances)))
            sums = np.cumsum(self.chances, axis=1)
            under = sums / sums[:, -1:] <= drawn[-1][:, None]
            return torch.tensor(under.sum(axis=1))

    monkeypatch.setattr(torch.distributions, "Categorical", Categorical)
    wanted = network.generate(torch.tensor(mel.T[None].copy()), batched, target, overlap, True)
    uniforms = np.stack(drawn)[..., None]
    spoken = generate(
        KernelEngine(model),
        mel,
        batched=batched,
        target=target,
        overlap=overlap,
        uniforms=uniforms,
        honest=False,
    )
    near(spoken, wanted)


def test_rtvc_loads_a_vocoder_of_ours(vocoders, torch, tmp_path):
    network, model = vocoders
    rtvc_vocoder.write(tmp_path / "ours.pt", model, 7)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
    network.load(tmp_path / "ours.pt", torch.optim.Adam(network.parameters()))
    assert network.get_step() == 7 and isinstance(model, WaveRNN)
    for key, value in network.state_dict().items():
        if value.dtype == torch.float32:
            assert torch.equal(value, before[key]), key


def test_the_encoder_and_its_loss_are_rtvcs(rtvc, torch, monkeypatch):
    module = rtvc("encoder.model")
    widths = ("mel_n_channels", 12), ("model_hidden_size", 16), ("model_embedding_size", 10)
    for name, value in widths:
        monkeypatch.setattr(module, name, value)
    network = shaken(module.SpeakerEncoder(torch.device("cpu"), torch.device("cpu")), torch)
    spec = MelSpec(16_000, n_fft=400, win_length=400, hop_length=160, n_mels=12, compression=None)
    encoder = ResemblyzerEncoder(spec=spec, hidden_dim=16, embedding_dim=10, epsilon=1e-5)
    encoder.build()
    arrays = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    rtvc_encoder.load_encoder(encoder, rtvc_encoder.EncoderFile(1, arrays))
    mels = np.abs(np.random.default_rng(4).normal(size=(12, 20, 12))).astype("float32")
    embeddings = network(torch.tensor(mels))
    loss, eer = network.loss(embeddings.view(4, 3, 10))
    loss.backward()
    network.do_gradient_ops()
    scaling = [float(arrays[key][0]) for key in rtvc_encoder.LOSS]
    own = SimilarityLoss(3, *scaling, scale_gradient=1.0)
    own.build()
    found = encoder.embed_partials(mels)
    near(found, embeddings.detach().numpy())
    assert float(own(None, found)) == pytest.approx(float(loss.detach()), rel=1e-4)
    assert similarity_eer(np.asarray(own.similarities(found))) == pytest.approx(eer, abs=1e-5)
    variables = encoder.trainable_variables + own.trainable_variables
    with tf.GradientTape() as tape:
        value = own(None, encoder.embed_partials(mels))
    raw = tape.gradient(value, [item.value for item in variables])
    slope = np.asarray(raw[variables.index(encoder.trainable_variables[0])])
    wanted = network.lstm.weight_ih_l0.grad.numpy().T
    # Both were clipped by one factor, which drops out of the directions.
    near(slope / np.linalg.norm(slope), wanted / np.linalg.norm(wanted))


TEXTS = (
    "Dr. Smith paid $3.50 for 21 apples in 1999.",
    "The 22nd of May: 1,234 people, 3.14 and 2000!",
    "Café {HH AH0} naïve — “quoted”",
    "St. John's co. has 1001 doors; £20?",
)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_read_as_rtvc_reads_them(rtvc, text):
    wanted = rtvc("synthesizer.utils.text").text_to_sequence(text, ["english_cleaners"])
    assert SymbolTokenizer().encode(text) == wanted


def test_the_mel_is_rtvcs(rtvc, monkeypatch):
    import librosa

    module, hparams = rtvc("synthesizer.audio"), rtvc("synthesizer.hparams").hparams
    filters = librosa.filters.mel
    monkeypatch.setattr(
        librosa.filters,
        "mel",
        lambda *args, **more: filters(**dict(zip(("sr", "n_fft"), args, strict=False)), **more),
    )
    wave = np.random.default_rng(5).normal(size=8_000).astype("float32") / 10
    mel = mel_of(wave, RTVC_SYNTHESIZER)
    near(mel, module.melspectrogram(wave, hparams).T, 1e-5)
    assert RESEMBLYZER.n_mels != mel.shape[1]
