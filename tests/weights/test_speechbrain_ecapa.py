"""SpeechBrain's configuration is read as data, compared, and never executed."""

import pytest

from myxtts.config import ECAPAConfig
from myxtts.errors import WeightsError
from myxtts.models.ecapa_tdnn import ECAPATDNN
from myxtts.weights.speechbrain_ecapa import DEFAULTS, check_configuration
from tests.golden.cases import ECAPA_SIZES

# The settings of spkrec-ecapa-voxceleb, with the tags of HyperPyYAML.
PUBLISHED = """\
pretrained_path: speechbrain/spkrec-ecapa-voxceleb
n_mels: 80
sample_rate: 16000
n_neurons: 192

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>

mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [1024, 1024, 1024, 1024, 3072]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 128
    lin_neurons: !ref <n_neurons>

modules:
    compute_features: !ref <compute_features>
    embedding_model: !ref <embedding_model>

label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
activation: !name:torch.nn.LeakyReLU
"""


@pytest.fixture(scope="module")
def encoder() -> ECAPATDNN:
    return ECAPATDNN(ECAPAConfig())


@pytest.fixture
def check(tmp_path, encoder):
    """Compare a text that stands as ``hyperparams.yaml`` beside a weights file."""

    def compare(text: str | bytes, encoder: ECAPATDNN = encoder) -> None:
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "hyperparams.yaml").write_bytes(content)
        check_configuration(tmp_path / "embedding_model.ckpt", encoder)

    return compare


def test_the_published_configuration_is_accepted(check):
    check(PUBLISHED)


def test_no_configuration_is_no_error(tmp_path, encoder):
    check_configuration(tmp_path / "embedding_model.ckpt", encoder)


def test_sections_that_are_left_out_are_not_compared(check):
    check("n_mels: 80\n")


def test_sizes_are_those_of_the_encoder(check):
    small = ECAPATDNN(ECAPA_SIZES)
    with pytest.raises(WeightsError, match="channels is"):
        check(PUBLISHED, small)
    text = "embedding_model: {input_size: 80, channels: [24, 32, 32, 32, 96], lin_neurons: 24,"
    check(f"{text} attention_channels: 16, res2net_scale: 4, se_channels: 8}}", small)


def test_an_encoder_read_back_from_its_configuration_is_compared_alike(check, encoder):
    config = encoder.get_config()
    config["sizes"] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in config["sizes"].items()
    }
    again = ECAPATDNN.from_config(config)
    check(PUBLISHED, again)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (
            "dilations: [1, 2, 3, 4, 1]",
            "dilations: [1, 2, 3, 5, 1]",
            "dilations is [1, 2, 3, 5, 1]",
        ),
        ("kernel_sizes: [5, 3, 3, 3, 1]", "kernel_sizes: [5, 3, 3, 3]", "kernel_sizes is"),
        ("channels: [1024, 1024", "channels: [512, 1024", "channels is [512, 1024"),
        ("attention_channels: 128", "attention_channels: 64", "attention_channels is 64, 128"),
        ("n_neurons: 192", "n_neurons: 256", "lin_neurons is 256, 192"),
        ("    attention_channels", "    groups: [1, 1]\n    attention_channels", "has groups"),
        ("    attention_channels", "    7: 1\n    attention_channels", "has 7"),
        ("    attention_channels", "    __class__: 1\n    attention_channels", "has __class__"),
        ("n_mels: 80", "n_mels: 40", "input_size is 40, 80 is expected"),
        ("    n_mels: !ref <n_mels>\n", "    n_fft: 400\n", "compute_features: n_mels is 40"),
        ("    n_mels: !ref", "    n_fft: 512\n    n_mels: !ref", "n_fft is 512, 400"),
        ("    n_mels: !ref", "    deltas: True\n    n_mels: !ref", "deltas is True, False"),
        ("    n_mels: !ref", "    pitch: True\n    n_mels: !ref", "has pitch"),
        ("std_norm: False", "std_norm: True", "std_norm is True, False is expected"),
        ("    std_norm: False\n", "", "mean_var_norm: std_norm is True"),
        ("norm_type: sentence", "norm_type: global", "norm_type is global"),
        ("<n_neurons>", "<n_neurons> * 2", "lin_neurons is <n_neurons> * 2"),
    ],
)
def test_what_differs_is_named(check, tmp_path, old, new, named):
    assert old in PUBLISHED
    with pytest.raises(WeightsError) as caught:
        check(PUBLISHED.replace(old, new))
    assert named in str(caught.value)
    assert str(tmp_path / "hyperparams.yaml") in str(caught.value)


def test_unused_context_is_no_difference(check):
    check(PUBLISHED.replace("    std_norm", "    mean_norm: True\n    std_norm"))
    context = "    left_frames: 0\n    right_frames: 0\n    deltas: False\n"
    check(PUBLISHED.replace("    n_mels: !ref", f"{context}    n_mels: !ref"))


def test_dilations_left_out_are_the_upstreams_own(check):
    text = PUBLISHED.replace("    dilations: [1, 2, 3, 4, 1]\n", "")
    check(text)
    other = ECAPATDNN(ECAPAConfig(dilations=(1, 2, 2, 2, 1)))
    with pytest.raises(WeightsError, match="dilations is"):
        check(text, other)


@pytest.mark.parametrize(
    "planted",
    [
        "!apply:os.system ['touch {mark}']",
        "!new:os.system ['touch {mark}']",
        "!name:os.system 'touch {mark}'",
        "!module:os",
        "!include:{mark}",
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/new:os.system ['touch {mark}']",
        "!!python/name:os.system",
    ],
)
@pytest.mark.parametrize("place", ["planted: ", "embedding_model: "])
def test_nothing_in_the_file_is_executed(check, tmp_path, planted, place):
    mark = tmp_path / "executed"
    text = place + planted.format(mark=mark) + "\n"
    refused = "!!python" in planted or place == "embedding_model: "
    if refused:
        with pytest.raises(WeightsError, match=r"hyperparams\.yaml"):
            check(text)
    else:
        check(text)
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "only words",
        "- a\n- list",
        "embedding_model: [unclosed",
        "a: b: c",
        "&a [*b]",
        "day: 2020-99-99",
        "embedding_model: 7",
        "compute_features: !new:speechbrain.lobes.features.Fbank",
        "{[a]: b}",
        b"\xff\xfe\x00",
        b"PK\x03\x04",
    ],
)
def test_damaged_files_are_named_in_one_sentence(check, text):
    with pytest.raises(WeightsError, match=r"hyperparams\.yaml") as caught:
        check(text)
    assert "\n" not in str(caught.value)


def test_defaults_are_those_of_the_upstreams_classes():
    pytest.importorskip("speechbrain", reason="speechbrain is not installed (make reference)")
    import inspect

    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    classes = {
        "embedding_model": ECAPA_TDNN,
        "compute_features": Fbank,
        "mean_var_norm": InputNormalization,
    }
    for section, defaults in DEFAULTS.items():
        parameters = inspect.signature(classes[section]).parameters
        for name, value in defaults.items():
            # The upstream's None is half the sample rate.
            expected = 8_000 if name == "f_max" else parameters[name].default
            assert value == expected, (section, name)
