"""Weights and optimiser state of RTVC's synthesizer (MIT), both ways.

Of the file are read: sizes, how many symbols, r and step. ``batch`` counters of batch norms and
RTVC's ``stop_threshold`` are left out, and written again with the values that RTVC makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from myxtts.digests import file_sha256
from myxtts.errors import WeightsError
from myxtts.models.tacotron import Tacotron
from myxtts.synthesizer_config import SYMBOLS, TacotronConfig
from myxtts.weights.conversion import Rule, affine, batch_norm, conv1d, convert, identity, linear
from myxtts.weights.torch_file import read_torch_content, read_torch_file, write_torch_file

MODEL, OPTIMIZER = "model_state", "optimizer_state"
STOP_THRESHOLD = -3.4
IGNORED = {
    "*num_batches_tracked": "a counter that torch does not use here",
    "step": "kept beside the weights",
    "stop_threshold": "RTVC cuts a mel there, a constant",
    "decoder.r": "kept beside the weights",
}
# What only one of RTVC's three kinds of file has.
MARKS = {
    "decoder.mel_proj.weight": "synthesizer",
    "fc3.weight": "vocoder",
    "lstm.weight_ih_l0": "speaker encoder",
}


def _swapped(array: np.ndarray) -> np.ndarray:
    """torch's gates r, z, n as Keras's z, r, n; its own inverse."""
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])


def gru_kernel(array: np.ndarray) -> np.ndarray:
    """torch GRU ``(3 units, in)`` to Keras ``(in, 3 units)``."""
    return _swapped(array).T


def gru_bias(inputs: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """torch's two GRU biases to Keras's ``(2, 3 units)``."""
    return np.stack([_swapped(inputs), _swapped(hidden)])


def both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two biases one above the other."""
    return np.stack([first, second])


# Back from Keras: the arrays of a rule's sources.
_BACK: dict[Callable, Callable[[np.ndarray], tuple]] = {
    identity: lambda a: (a,),
    linear: lambda a: (a.T,),
    conv1d: lambda a: (a.transpose(2, 1, 0),),
    gru_kernel: lambda a: (_swapped(a.T),),
    gru_bias: lambda a: tuple(_swapped(row) for row in a),
    both: lambda a: (a[0], a[1]),
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
        *_cell("decoder.attn_rnn", f"{decoder}/attention_rnn", "", gru_kernel, gru_bias),
        *affine("decoder.rnn_input", f"{decoder}/rnn_input", linear),
        *_cell("decoder.res_rnn1", f"{decoder}/lstm_0", "", linear, both),
        *_cell("decoder.res_rnn2", f"{decoder}/lstm_1", "", linear, both),
        Rule("decoder.mel_proj.weight", f"{decoder}/mel_proj/kernel", linear),
        *affine("decoder.stop_proj", f"{decoder}/stop_proj", linear),
        *_cbhg("postnet", "postnet", config.postnet_kernels, config.num_highways, True),
        Rule("post_proj.weight", "post_proj/kernel", linear),
    ]


def _prenet(source: str, target: str) -> list[Rule]:
    names = ("fc1", "fc2")
    return [
        rule for name in names for rule in affine(f"{source}.{name}", f"{target}/{name}", linear)
    ]


def _cell(source: str, target: str, suffix: str, kernel: Callable, bias: Callable) -> list[Rule]:
    pair = (f"{source}.bias_ih{suffix}", f"{source}.bias_hh{suffix}")
    return [
        Rule(f"{source}.weight_ih{suffix}", f"{target}/kernel", kernel),
        Rule(f"{source}.weight_hh{suffix}", f"{target}/recurrent_kernel", kernel),
        Rule(pair, f"{target}/bias", bias),
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
        found += _cell(f"{source}.rnn", f"{target}/{name}/gru_cell", suffix, gru_kernel, gru_bias)
    return found


def sizes(arrays: Mapping[str, np.ndarray], symbols: tuple[str, ...] | None = None, max_r=20):
    """Configuration that fits ``arrays``, with RTVC's attention and stop.

    Args:
        arrays: state of the model.
        symbols: of its texts; RTVC's when None, which are 66.
        max_r: most frames a step; RTVC's is 20 and stands in no file.

    Raises:
        WeightsError: the arrays are of another kind, or the symbols are not as many.
    """
    refuse_other_kinds(arrays)
    embedding, width = _shape(arrays, "encoder.embedding.weight")
    symbols = symbols or SYMBOLS
    if len(symbols) != embedding:
        raise WeightsError(
            f"the synthesizer reads {embedding} symbols, {len(symbols)} are given: name the list "
            "of symbols that it was trained with."
        )
    hidden = _shape(arrays, "encoder.pre_net.fc1.weight")[0]
    memory = _shape(arrays, "encoder_proj.weight")
    return TacotronConfig(
        symbols=tuple(symbols),
        embed_dims=width,
        encoder_dims=hidden,
        decoder_dims=memory[0],
        speaker_dims=memory[1] - hidden,
        n_mels=_shape(arrays, "decoder.mel_proj.weight")[0] // max_r,
        max_r=max_r,
        postnet_dims=_shape(arrays, "post_proj.weight")[1],
        encoder_kernels=_count(arrays, "encoder.cbhg.conv1d_bank.{}.conv.weight"),
        postnet_kernels=_count(arrays, "postnet.conv1d_bank.{}.conv.weight"),
        num_highways=_count(arrays, "postnet.highways.{}.W1.weight"),
        lstm_dims=_shape(arrays, "decoder.rnn_input.weight")[0],
        prenet_dims=_shape(arrays, "decoder.prenet.fc1.weight")[0],
        masked_attention=False,
        stop_by_rows=False,
    )


def refuse_other_kinds(arrays: Mapping[str, np.ndarray], name: str = "the file") -> None:
    """Raise WeightsError in one sentence for a state that is no synthesizer's."""
    if "decoder.mel_proj.weight" in arrays:
        return
    found = next((kind for key, kind in MARKS.items() if key in arrays), None)
    what = f"a {found}" if found else "another model"
    raise WeightsError(f"{name} holds {what}, not a synthesizer.")


def _shape(arrays: Mapping, key: str) -> tuple[int, ...]:
    if key not in arrays or arrays[key].ndim < 2:
        raise WeightsError(f"the synthesizer's file lacks {key}.")
    return arrays[key].shape


def _count(arrays: Mapping, pattern: str) -> int:
    count = 0
    while pattern.format(count) in arrays:
        count += 1
    return max(count, 1)


def load(model: Tacotron, arrays: Mapping[str, np.ndarray]) -> None:
    """Set the weights, r and step of ``model``.

    Raises:
        WeightsError: ``arrays`` are not its.
    """
    convert(arrays, rules(model.config), model_of(model), IGNORED)
    model.r = int(np.ravel(arrays.get("decoder.r", 2))[0])
    model.step = int(np.ravel(arrays.get("step", 0))[0])


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
        base: whose dropout, zone-out, attention and stop are kept; RTVC's when None.

    Raises:
        WeightsError: it cannot be read or is no synthesizer.
    """
    arrays = read_torch_file(path, MODEL, bare=True)
    refuse_other_kinds(arrays, str(path))
    config = sizes(arrays, symbols)
    if base is not None:
        kept = ("dropout", "zoneout", "masked_attention", "stop_by_rows")
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
    arrays = _back(rules(model.config), {name: np.asarray(v) for name, v in own.items()})
    for key in [key for key in arrays if key.endswith("running_var")]:
        arrays[key.replace("running_var", "num_batches_tracked")] = np.array(model.step, "int64")
    arrays["step"] = np.array([model.step], "int64")
    arrays["stop_threshold"] = np.array(STOP_THRESHOLD, "float32")
    arrays["decoder.r"] = np.array(model.r, "int32")
    return arrays


def _back(own: list[Rule], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    for rule in own:
        if rule.target in values:
            arrays = _BACK[rule.transform](values[rule.target])
            made |= zip(rule.sources, map(np.ascontiguousarray, arrays), strict=True)
    return made


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
    order, count = parameter_order(model.config), int(optimizer.iterations)
    moments = [_back(rules(model.config), table) for table in _moments(model, optimizer)]
    entries = {
        number: {
            "step": np.array(count, "float32"),
            "exp_avg": moments[0][key],
            "exp_avg_sq": moments[1][key],
        }
        for number, key in enumerate(order)
    }
    group = {
        "lr": float(optimizer.learning_rate),
        "betas": (float(optimizer.beta_1), float(optimizer.beta_2)),
        "eps": float(optimizer.epsilon),
        "weight_decay": 0,
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "params": list(range(len(order))),
    }
    return {"state": entries if count else {}, "param_groups": [group]}


def load_optimizer(model: Tacotron, optimizer, path: str | Path) -> bool:
    """Set the state of ``optimizer`` from RTVC's file; False where it holds none.

    Raises:
        WeightsError: it does not fit.
    """
    entries = _entries(path)
    if not entries:
        return False
    order, own = parameter_order(model.config), rules(model.config)
    if len(entries) != len(order):
        raise WeightsError(f"{path} has moments of {len(entries)} parameters, not {len(order)}.")
    for moment, (name, slots) in zip(
        ("exp_avg", "exp_avg_sq"), _slots(model, optimizer), strict=True
    ):
        values = {key: entry[moment] for key, entry in zip(order, entries, strict=True)}
        for rule in own:
            if rule.target in slots:
                made = rule.transform(*(values[key] for key in rule.sources))
                if made.shape != tuple(slots[rule.target].shape):
                    raise WeightsError(f"{path}: the {name} of {rule.source} has another shape.")
                slots[rule.target].assign(made)
    optimizer.iterations.assign(int(entries[0]["step"]))
    return True


def _entries(path: str | Path) -> list[dict]:
    """Adam's state of each parameter in torch's order, none where there is none."""
    content = read_torch_content(path)
    stored = content.get(OPTIMIZER) if isinstance(content, dict) else None
    if stored is None:
        return []
    try:
        states, order = stored["state"], stored["param_groups"][0]["params"]
        return [states[number] for number in order if number in states]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise WeightsError(f"{path}: {OPTIMIZER!r} is no state of an optimiser.") from error


def _slots(model: Tacotron, optimizer) -> list[tuple[str, dict]]:
    names = {id(variable): name for name, variable in model.variables_by_name().items()}
    trained = [names[id(variable)] for variable in model.trainable_variables]
    return [
        ("mean", dict(zip(trained, optimizer._momentums, strict=True))),
        ("variance", dict(zip(trained, optimizer._velocities, strict=True))),
    ]


def _moments(model: Tacotron, optimizer) -> list[dict[str, np.ndarray]]:
    tables = [slots for _, slots in _slots(model, optimizer)]
    return [{name: np.asarray(value) for name, value in table.items()} for table in tables]
