"""Every public layer is made again by its configuration, whether it writes that or Keras does."""

import importlib
import inspect
import json
from pathlib import Path

import keras
import pytest

import myxtts
from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.mel import MelNorm, MelSpectrogram
from myxtts.audio.resample import SincResampler
from myxtts.config import ECAPAConfig
from myxtts.losses import ContrastiveSpeakerLoss, GE2ELoss
from myxtts.models import (
    cbhg,
    conditioning,
    coqui_resnet,
    discriminators,
    dvae,
    ecapa_tdnn,
    harmonic_source,
    istft_decoder,
    mel_hifigan,
    tacotron,
    tacotron_decoder,
    wavernn,
    wavlm,
    wavlm_blocks,
)
from myxtts.models.gpt import GPT, GPTBlock
from myxtts.models.hifigan import HifiDecoder, HifiResBlock
from myxtts.models.layer import BatchNorm, Conv1D, Conv2D, Dropout, UnbiasedBatchNorm
from myxtts.models.masked_batch_norm import MaskedBatchNorm
from myxtts.models.recurrent import GRU
from myxtts.models.resemblyzer import ResemblyzerEncoder
from myxtts.models.speaker_encoder import PretrainedSpeakerEncoder
from myxtts.synthesizer_config import TacotronConfig
from myxtts.vocoder_config import HifiGanConfig, WaveRNNConfig
from myxtts.wavlm_config import WavLMConfig

# A layer of each class, with arguments that are not the defaults, and the shape it is built for.
FRAMES = (None, None, 8)
RESNET = {"embedding_dim": 6, "blocks": (1, 2), "channels": (8, 16)}
ECAPA = ECAPAConfig((8, 8, 24), (5, 3, 1), (1, 2, 1), 4, 2, 4, 6)
WAVLM = WavLMConfig(
    conv_channels=(8, 8),
    conv_kernels=(10, 3),
    conv_strides=(5, 2),
    hidden_dim=8,
    layers=2,
    heads=2,
    position_kernel=4,
    position_groups=2,
    head=False,
)
LAYERS = [
    (MelSpectrogram(XTTS_DVAE, name="mel"), (None, 9_000)),
    (MelNorm(8, name="norm"), None),
    (SincResampler(3, 2, name="resampler"), (None, 9_000)),
    (GE2ELoss("contrast", 3.0, bias=-1.0), (None,)),
    (conditioning.ConditioningEncoder(8, 2, heads=2, n_mels=5, name="encoder"), None),
    (conditioning.ConditioningBlock(8, 2, name="block"), FRAMES),
    (conditioning.MaskedGroupNorm(4, epsilon=0.1), FRAMES),
    (conditioning.PerceiverResampler(8, 1, 3, 2, head_dim=4, name="perceiver"), None),
    (conditioning.PerceiverAttention(8, 2, 4), FRAMES),
    (conditioning.GEGLU(8, trainable=False), FRAMES),
    (conditioning.RMSNorm(name="norm"), FRAMES),
    (coqui_resnet.ResNetSpeakerEncoder(**RESNET), None),
    (coqui_resnet.CoquiSpeakerEncoder(6, (1, 2), channels=(8, 16), name="encoder"), None),
    (coqui_resnet.SEBasicBlock(8, stride=2, project=True), (None, None, None, 8)),
    (discriminators.MultiPeriodDiscriminator(1 / 16, periods=(2, 5)), None),
    (discriminators.MultiScaleDiscriminator(1 / 16, scales=2, name="scales"), None),
    (discriminators.MultiResolutionDiscriminator(1 / 8, resolutions=(256,)), None),
    (discriminators.SpectrumDiscriminator(256, 1 / 8), None),
    (discriminators.PeriodDiscriminator(3, 1 / 16), None),
    (discriminators.ScaleDiscriminator(1 / 16), None),
    (dvae.DVAE(8, 4, num_codes=16, num_resnet_blocks=1, n_mels=5), None),
    (dvae.Codebook(4, 16, seed=3, name="codebook"), None),
    (dvae.ResBlock(8), FRAMES),
    (ecapa_tdnn.ECAPATDNN(ECAPA), None),
    (ecapa_tdnn.TDNNBlock(6, 3, dilation=2), FRAMES),
    (ecapa_tdnn.SERes2NetBlock(6, 3, 2, scale=3, squeeze_dim=2, name="block"), FRAMES),
    (ecapa_tdnn.AttentiveStatisticsPooling(3), FRAMES),
    (GPT(2, 8, 2, 20, 9, 12, 16, start_text_token=3, dropout=0.2), None),
    (GPTBlock(8, 2, depth=3, dropout=0.2, name="block"), FRAMES),
    (HifiDecoder(8, 6, 16, (8, 32), (16, 64), (3,), (1, 2)), None),
    (HifiDecoder(8, 0, 16, (5,), (10,), (3,), (1,), spectra_hop=4), None),
    (HifiResBlock(8, 3, dilations=(1, 2)), FRAMES),
    (istft_decoder.IstftDecoder(8, 6, 12, 1, 3, 1, 2, 5, 2, 2, 512, 128), None),
    (istft_decoder.IstftDecoder(8, 6, 12, 1, 3, 1, 2, 5, 2, 2, 512, source="harmonic"), None),
    (harmonic_source.PitchHead(5, speaker_dim=3, name="pitch"), FRAMES),
    (istft_decoder.ConvNeXtBlock(8, 5, lookahead=1, layer_scale=0.5, name="block"), FRAMES),
    (wavlm.WavLMEncoder(WAVLM, name="wavlm"), None),
    (wavlm.XVectorHead((6, 4), (3, 2), (1, 2), embedding_dim=5, name="head"), FRAMES),
    (wavlm_blocks.TimeNorm(name="norm"), FRAMES),
    (wavlm_blocks.ConvBlock(6, 3, 2, use_bias=True, norm="layer"), FRAMES),
    (wavlm_blocks.PositionalConv(5, groups=2), FRAMES),
    (wavlm_blocks.RelativePositions(2, 8, distance=10), FRAMES),
    (wavlm_blocks.GatedAttention(2, dropout=0.2), FRAMES),
    (wavlm_blocks.WavLMBlock(2, 12, pre_norm=True, name="block"), FRAMES),
    (wavernn.WaveRNN(WaveRNNConfig(rnn_dims=6, res_blocks=1, mode="MOL"), name="rnn"), None),
    (wavernn.MelResNet(1, 6, 4, pad=1, name="resnet"), FRAMES),
    (wavernn.MelBlock(8), FRAMES),
    (GRU(6, return_sequences=True, name="gru"), FRAMES),
    (UnbiasedBatchNorm(momentum=0.5, name="norm"), FRAMES),
    (BatchNorm(momentum=0.5, name="norm"), FRAMES),
    (MaskedBatchNorm(momentum=0.5, name="norm"), FRAMES),
    (Dropout(0.5, name="dropout"), FRAMES),
    (Conv1D(6, 3, strides=2, padding="same", use_bias=False, name="conv"), FRAMES),
    (Conv2D(6, (3, 5), activation="relu", name="conv"), (*FRAMES, 2)),
    (cbhg.PreNet(8, 6, 0.2), FRAMES),
    (cbhg.ConvNorm(8, 6, 3, relu=False), FRAMES),
    (cbhg.Highway(8), FRAMES),
    (cbhg.CBHG(2, 8, 6, 8, 1, name="cbhg"), FRAMES),
    (tacotron_decoder.Attention(6, masked=True), FRAMES),
    (tacotron_decoder.LSTMCell(6), (None, 6)),
    (tacotron.TextEncoder(TacotronConfig(embed_dims=6, encoder_dims=8), name="texts"), None),
    (tacotron_decoder.Decoder(TacotronConfig(lstm_dims=6, max_r=3), name="frames"), None),
    (mel_hifigan.MelHifiGan(HifiGanConfig(initial_channels=8), name="hifi"), None),
    (tacotron.Tacotron(TacotronConfig(lstm_dims=12, postnet_dims=8), r=3, name="taco"), None),
    (ResemblyzerEncoder(name="lstm"), None),
    (PretrainedSpeakerEncoder("ecapa_tdnn", freeze=False, sizes=ECAPA), None),
]
# Their configuration is an XTTS's, and their way to a disk a preset.
OF_PRESETS = {"XTTS", "BaseAudioEncoder", "OriginalAudioEncoder", "PretrainedAudioEncoder"}
BASES = {"Layer", "ConfiguredPart"}


def names_and_shapes(layer) -> list[tuple]:
    return [(item.path, tuple(item.shape), item.trainable) for item in layer.weights]


@pytest.mark.parametrize(
    ("layer", "shape"), LAYERS, ids=[type(layer).__name__ for layer, _ in LAYERS]
)
def test_a_configuration_makes_the_same_layer(layer, shape):
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert again.name == layer.name
    assert again.dtype_policy == layer.dtype_policy
    assert json.dumps(again.get_config()) == json.dumps(config)
    for item in (layer, again):
        item.build(shape)
    assert names_and_shapes(again) == names_and_shapes(layer)


def test_a_layer_is_made_under_the_policy_of_the_moment():
    config = conditioning.ConditioningBlock(8, 2).get_config()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        block = conditioning.ConditioningBlock.from_config(config)
        assert block.compute_dtype == block.qkv.compute_dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_losses_are_made_again_too():
    loss = ContrastiveSpeakerLoss(0.3, margin=0.1, name="mine")
    again = ContrastiveSpeakerLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()


def test_no_public_layer_is_left_out():
    package = Path(myxtts.__file__).parent
    files = [*package.glob("models/*.py"), *package.glob("audio/*.py"), package / "losses.py"]
    modules = [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in files]
    found = {
        name
        for module in modules
        for name, kind in inspect.getmembers(importlib.import_module(module), inspect.isclass)
        if issubclass(kind, keras.layers.Layer) and kind.__module__ == module and name[0] != "_"
    }
    assert found - {type(layer).__name__ for layer, _ in LAYERS} == OF_PRESETS | BASES
