"""Weights and optimiser state of RTVC's synthesizer (MIT), both ways.

Of the file are read: sizes, how many symbols, r and step. ``batch`` counters of batch norms and
RTVC's ``stop_threshold`` are left out, and written again with the values that RTVC makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from myxtts.digests import file_sha256
from myxtts.errors import WeightsError
from myxtts.models.tacotron import Tacotron
from myxtts.synthesizer_config import SYMBOLS, TacotronConfig
from myxtts.weights.conversion import Rule, affine, batch_norm, conv1d, convert, linear
from myxtts.weights.rtvc import (
    MODEL,
    OPTIMIZER,
    Adam,
    adam_from_torch,
    adam_to_torch,
    cell,
    count_in,
    gru,
    repeated,
    require_kind,
    stacked,
    undone,
)
from myxtts.weights.torch_file import read_torch_content, read_torch_file, write_torch_file

KIND = "synthesizer"
STOP_THRESHOLD = -3.4
IGNORED = {
    "*num_batches_tracked": "a counter that torch does not use here",
    "step": "kept beside the weights",
    "stop_threshold": "RTVC cuts a mel there, a constant",
    "decoder.r": "kept beside the weights",
}


def rules(config: TacotronConfig) -> list[Rule]:
    """Rules of every weight of :class:`~myxtts.models.tacotron.Tacotron`, in torch's order."""
    decoder, attention = "decoder", "decoder/attention"
    return [
        Rule("encoder.embedding.weight", "encoder/embedding/embeddings"),
        *_prenet("encoder.pre_net", "encoder/prenet"),
        *_cbhg("encoder.cbhg", "encoder/cbhg", config.encoder_kernels, config.num_highways, False),
        Rule("encoder_proj.weight", "encoder_proj/kernel", linear),
        *_prenet("decoder.prenet", "decoder/prenet"),
        *affine("decoder.attn_net.conv", f"{attention}/conv", conv1d),
        Rule("decoder.attn_net.L.weight", f"{attention}/L/kernel", linear),
        *affine("decoder.attn_net.W", f"{attention}/W", linear),
        Rule("decoder.attn_net.v.weight", f"{attention}/v/kernel", linear),
        *gru("decoder.attn_rnn", f"{decoder}/attention_rnn", ""),
        *affine("decoder.rnn_input", f"{decoder}/rnn_input", linear),
        *cell("decoder.res_rnn1", f"{decoder}/lstm_0", "", linear, stacked),
        *cell("decoder.res_rnn2", f"{decoder}/lstm_1", "", linear, stacked),
        Rule("decoder.mel_proj.weight", f"{decoder}/mel_proj/kernel", linear),
        *affine("decoder.stop_proj", f"{decoder}/stop_proj", linear),
        *_cbhg(
            "postnet",
            "postnet",
            config.postnet_kernels,
            config.num_highways,
            # What comes out of its convolutions is as wide as a mel.
            config.postnet_dims != config.n_mels,
        ),
        Rule("post_proj.weight", "post_proj/kernel", linear),
    ]


def _prenet(source: str, target: str) -> list[Rule]:
    names = ("fc1", "fc2")
    return [
        rule for name in names for rule in affine(f"{source}.{name}", f"{target}/{name}", linear)
    ]


def _conv(source: str, target: str) -> list[Rule]:
    kernel = Rule(f"{source}.conv.weight", f"{target}/conv/kernel", conv1d)
    return [kernel, *batch_norm(f"{source}.bnorm", f"{target}/bnorm")]


def _cbhg(source: str, target: str, kernels: int, highways: int, wider: bool) -> list[Rule]:
    found: list[Rule] = []
    for number in range(kernels):
        found += _conv(f"{source}.conv1d_bank.{number}", f"{target}/bank_{number}")
    for number in (1, 2):
        found += _conv(f"{source}.conv_project{number}", f"{target}/project{number}")
    if wider:
        found.append(Rule(f"{source}.pre_highway.weight", f"{target}/pre_highway/kernel", linear))
    for number in range(highways):
        for name in ("W1", "W2"):
            own = f"{target}/highway_{number}/{name}"
            found += affine(f"{source}.highways.{number}.{name}", own, linear)
    for suffix, name in (("_l0", "forward"), ("_l0_reverse", "backward")):
        found += gru(f"{source}.rnn", f"{target}/{name}/gru_cell", suffix)
    return found


def sizes(arrays: Mapping[str, np.ndarray], symbols: tuple[str, ...] | None = None):
    """Configuration that fits ``arrays``, with RTVC's attention and stop.

    Args:
        arrays: state of the model.
        symbols: of its texts; RTVC's when None, which are 66.

    Raises:
        WeightsError: the arrays are of another kind, or the symbols are not as many.
    """
    require_kind("the file", arrays, KIND)
    embedding, width = _shape(arrays, "encoder.embedding.weight")
    symbols = symbols or SYMBOLS
    if len(symbols) != embedding:
        raise WeightsError(
            f"the synthesizer reads {embedding} symbols, {len(symbols)} are given: name the list "
            "of symbols that it was trained with."
        )
    hidden = _shape(arrays, "encoder.pre_net.fc1.weight")[0]
    memory = _shape(arrays, "encoder_proj.weight")
    # A frame goes into the decoder's pre-net, and max_r of them come out of a step.
    prenet_dims, n_mels = _shape(arrays, "decoder.prenet.fc1.weight")
    made = _shape(arrays, "decoder.mel_proj.weight")[0]
    if made % n_mels:
        raise WeightsError(
            f"the synthesizer makes {made} values a step, which are no whole frames of {n_mels} "
            "mel channels."
        )
    return TacotronConfig(
        symbols=tuple(symbols),
        embed_dims=width,
        encoder_dims=hidden,
        decoder_dims=memory[0],
        speaker_dims=memory[1] - hidden,
        n_mels=n_mels,
        max_r=made // n_mels,
        postnet_dims=_shape(arrays, "post_proj.weight")[1],
        encoder_kernels=repeated(arrays, "encoder.cbhg.conv1d_bank.{}.conv.weight"),
        postnet_kernels=repeated(arrays, "postnet.conv1d_bank.{}.conv.weight"),
        num_highways=repeated(arrays, "postnet.highways.{}.W1.weight"),
        lstm_dims=_shape(arrays, "decoder.rnn_input.weight")[0],
        prenet_dims=0 if prenet_dims == 2 * memory[0] else prenet_dims,
        masked_attention=False,
        stop_by_rows=False,
        dropout_in_speech=True,
    )


def _shape(arrays: Mapping, key: str) -> tuple[int, ...]:
    if key not in arrays or arrays[key].ndim < 2:
        raise WeightsError(f"the synthesizer's file lacks {key}.")
    return arrays[key].shape


def load(model: Tacotron, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights, r and step of ``model``.

    Raises:
        WeightsError: ``arrays`` are not its.
    """
    convert(arrays, rules(model.config), model_of(model), IGNORED)
    model.r = count_in("the file", arrays.get("decoder.r", 2), "decoder.r")
    model.step = count_in("the file", arrays.get("step", 0), "step")
    if not 1 <= model.r <= model.config.max_r:
        raise WeightsError(
            f"the synthesizer's r is {model.r}; from 1 to {model.config.max_r} it can be."
        )


def model_of(model: Tacotron):
    """What :func:`~myxtts.weights.conversion.convert` fills: weights without seeds."""
    return _View(model.name, model.weights_only())


class _View:
    def __init__(self, name: str, weights: list):
        self.name, self.weights = name, weights


def read(
    path: str | Path,
    symbols: tuple[str, ...] | None = None,
    base: TacotronConfig | None = None,
) -> Tacotron:
    """The model in one of RTVC's ``synthesizer.pt``.

    Args:
        path: the file.
        symbols: of its texts; RTVC's when None.
        base: whose dropouts, zone-out, attention and stop are kept; RTVC's when None.

    Raises:
        WeightsError: it cannot be read or is no synthesizer.
    """
    arrays = read_torch_file(path, MODEL, bare=True)
    require_kind(path, arrays, KIND)
    config = sizes(arrays, symbols)
    if base is not None:
        kept = "dropout", "zoneout", "masked_attention", "stop_by_rows", "dropout_in_speech"
        config = replace(config, **{name: getattr(base, name) for name in kept})
    model = Tacotron(config)
    model.build()
    load(model, arrays)
    digest = file_sha256(Path(path))
    model.provenance = f"local:{Path(path).name}@sha256:{digest}"
    model.source = {Path(path).name: digest}
    return model


def state(model: Tacotron) -> dict[str, np.ndarray]:
    """RTVC's state of ``model``, all its keys."""
    own = model.variables_by_name()
    arrays = undone(rules(model.config), own)
    for key in [key for key in arrays if key.endswith("running_var")]:
        arrays[key.replace("running_var", "num_batches_tracked")] = np.array(model.step, "int64")
    arrays["step"] = np.array([model.step], "int64")
    arrays["stop_threshold"] = np.array(STOP_THRESHOLD, "float32")
    arrays["decoder.r"] = np.array(model.r, "int32")
    return arrays


def parameter_order(config: TacotronConfig) -> list[str]:
    """Keys of the parameters in the order in which torch's optimiser numbers them."""
    found: list[str] = []
    for rule in rules(config):
        if not rule.target.endswith(("moving_mean", "moving_variance")):
            found += rule.sources
    return found


def write(path: str | Path, model: Tacotron, optimizer=None) -> None:
    """Write ``model``, and the state of its Adam, as a ``.pt`` that RTVC loads.

    Raises:
        WeightsError: torch is not installed or the file cannot be written.
    """
    content: dict = {MODEL: state(model)}
    if optimizer is not None:
        content[OPTIMIZER] = optimizer_state(model, optimizer)
    write_torch_file(path, content)


def optimizer_state(model: Tacotron, optimizer) -> dict:
    """Adam's moments and step as torch keeps them, by the number of the parameter."""
    means, squares = (undone(rules(model.config), slots) for _, slots in _slots(model, optimizer))
    return adam_to_torch(
        Adam(int(optimizer.iterations), means, squares),
        parameter_order(model.config),
        float(optimizer.learning_rate),
        betas=(float(optimizer.beta_1), float(optimizer.beta_2)),
        eps=float(optimizer.epsilon),
    )


def load_optimizer(model: Tacotron, optimizer, path: str | Path) -> bool:
    """Set the state of ``optimizer`` from RTVC's file; False where it holds none.

    Raises:
        WeightsError: it does not fit.
    """
    content = read_torch_content(path)
    content = content if isinstance(content, dict) else {}
    arrays = content[MODEL] if isinstance(content.get(MODEL), dict) else {}
    adam = adam_from_torch(path, content.get(OPTIMIZER), parameter_order(model.config), arrays)
    if adam is None:
        return False
    moments = zip((adam.means, adam.squares), _slots(model, optimizer), strict=True)
    for values, (name, slots) in moments:
        for rule in rules(model.config):
            if rule.target in slots:
                slots[rule.target].assign(_moment(path, rule, values, name, slots))
    optimizer.iterations.assign(adam.step)
    return True


def _moment(path, rule: Rule, values: Mapping, name: str, slots: Mapping) -> np.ndarray:
    lacking = [key for key in rule.sources if key not in values]
    if lacking:
        raise WeightsError(f"{path}: its optimizer has no {name} of {lacking[0]}.")
    made = rule.transform(*(values[key] for key in rule.sources))
    if made.shape != tuple(slots[rule.target].shape):
        raise WeightsError(f"{path}: the {name} of {rule.source} has another shape.")
    return made


def _slots(model: Tacotron, optimizer) -> list[tuple[str, dict]]:
    names = {id(variable): name for name, variable in model.variables_by_name().items()}
    trained = [names[id(variable)] for variable in model.trainable_variables]
    return [
        ("mean", dict(zip(trained, optimizer._momentums, strict=True))),
        ("variance", dict(zip(trained, optimizer._velocities, strict=True))),
    ]
