"""Stage ``vocoder``: learn to say the next sample."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from myxtts.audio.companding import decode_mu_law, deemphasised, from_classes
from myxtts.audio.io import write_audio
from myxtts.data.vocoder import crops
from myxtts.errors import MyXTTSError
from myxtts.generation.wavernn import KernelEngine, generate
from myxtts.training.optimizers import Since, WarmupCosine, set_steps
from myxtts.training.stage import Copies, Stage, Task
from myxtts.vocoder_config import TARGET, TRAINING_OVERLAP, VocoderTrainingConfig
from myxtts.weights import rtvc_vocoder
from myxtts.weights.rtvc import Adam

logger = logging.getLogger(__name__)

# Of the run folder: the file that goes along with the training, in RTVC's format.
EXPORT = "vocoder.pt"


class VocoderTask(Task):
    """Lower the loss of a WaveRNN on crops.

    Every checkpoint leaves ``vocoder.pt`` in the run folder, and every validation sounds under
    RTVC's names.

    Args:
        model: see :class:`myxtts.training.stages.vocoder_system.VocoderModel`.
        config: its training is read.
    """

    def __init__(self, model, config):
        self.model, self.network, self.training = model, model.network, config.training
        # Steps before this run, of the weights and of the optimizer.
        self.before = keras.Variable(model.network.trained_steps, dtype="int64", trainable=False)
        self.counted = keras.Variable(0, dtype="int64", trainable=False)
        variables = self.network.trainable_variables
        self.optimizer = make_adam(config.training, variables, self.counted)
        if model.adam is not None:
            take_adam(self.optimizer, self.network, model.adam)
            self.counted.assign(self.optimizer.iterations)
        self.groups = [(self.optimizer, self.network.trainable_variables)]
        self.copies = Copies(self.training.backup_every, self.training.validate_every)

    @property
    def variables(self) -> list:
        """The network, and how many steps came before this run."""
        return [*self.network.variables, self.before, self.counted]

    @property
    def step(self) -> int:
        """Steps behind the weights, those before this run included."""
        return int(self.before) + int(self.optimizer.iterations) - int(self.counted)

    def losses(self, batch: dict, training: bool) -> dict[str, tf.Tensor]:
        logits = self.network((batch["samples"], batch["mels"]), training=training)
        return {"loss": self.network.loss_of(logits, batch["targets"])}

    def weight(self, batch: dict) -> tf.Tensor:
        return tf.cast(tf.shape(batch["samples"])[0], "float32")

    def saved(self, step: int) -> None:
        """Write the files of the run that are RTVC's."""
        self.export()

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """Validation utterances as they are, once, and as the network says them."""
        found, rate = {}, self.network.sizes.sample_rate
        count = min(self.training.heard, len(self.model.validation))
        thousands = self.step // 1000
        for number in range(count):
            if not self.step - int(self.before):
                found[f"target/{number}"] = rate, self._target(number)
            if self.step:
                name = f"gen_batched_target{TARGET}_overlap{TRAINING_OVERLAP}"
                wave = self._said(number)
                found[f"generated/{number}"] = rate, wave
                self._write(f"{thousands}k_steps_{number + 1}_{name}.wav", wave)
                self._write(f"{thousands}k_steps_{number + 1}_target.wav", self._target(number))
        return found

    def export(self) -> None:
        """Write ``vocoder.pt``, and a copy that stays where one is due."""
        step = self.step
        state, rate = adam_state(self.optimizer, self.network), float(self.optimizer.learning_rate)
        paths = [self.model.run_dir / EXPORT]
        if self.copies.due(step):
            paths.append(self.model.run_dir / f"checkpoint_{step // 1000}k_steps.pt")
        try:
            for path in paths:
                rtvc_vocoder.write(path, self.network, step, state, rate)
        except rtvc_vocoder.WeightsError as error:
            logger.warning("%s The run goes on without files of RTVC.", error)

    @cached_property
    def _targets(self) -> dict[int, np.ndarray]:
        return {}

    def _target(self, number: int) -> np.ndarray:
        """A recording through the classes and back: the best that can be said."""
        if number not in self._targets:
            corpus, sizes = self.model.validation, self.network.sizes
            place = self._place(number)
            wave = corpus.wave(place)
            if sizes.mode == "RAW":
                wave = from_classes(corpus.labels(place), sizes.bits)
                wave = decode_mu_law(wave, 2**sizes.bits) if sizes.mu_law else wave
            self._targets[number] = deemphasised(wave, sizes.preemphasis)
        return self._targets[number]

    def _place(self, number: int) -> int:
        """Of an utterance, or of one that can be read in its place."""
        corpus = self.model.validation

        def whole(place: int) -> int:
            corpus.mel(place), corpus.wave(place)
            return place

        return corpus.substitutes.read(number, whole)

    def _said(self, number: int) -> np.ndarray:
        return generate(
            KernelEngine(self.network),
            self.model.validation.mel(self._place(number)),
            target=TARGET,
            overlap=TRAINING_OVERLAP,
            honest=self.training.heard_honestly,
            seed=self.training.seed,
        )

    def _write(self, name: str, wave: np.ndarray) -> None:
        try:
            write_audio(self.model.run_dir / name, wave, self.network.sizes.sample_rate)
        except MyXTTSError as error:
            logger.warning("%s", error)


def make_adam(
    training: VocoderTrainingConfig, variables: list, counted: keras.Variable
) -> keras.optimizers.Adam:
    """Adam as torch has it, built for ``variables``; the rate is constant by default.

    Args:
        training: the configuration's.
        variables: that learn.
        counted: steps that Adam had made before the run, which its rates leave out.
    """
    stage, accumulation = training.vocoder, training.gradient_accumulation
    schedule = WarmupCosine(
        stage.learning_rate,
        stage.warmup_steps,
        stage.steps,
        stage.final_lr_fraction,
        accumulation,
    )
    optimizer = keras.optimizers.Adam(
        Since(schedule, counted, accumulation),
        epsilon=1e-8,
        global_clipnorm=training.gradient_clip or None,
        gradient_accumulation_steps=accumulation if accumulation > 1 else None,
    )
    optimizer.build(variables)
    return optimizer


def take_adam(optimizer: keras.optimizers.Adam, network, state: Adam) -> None:
    """Set the state of ``optimizer``, built for the network's variables that learn."""
    names = {id(variable): name for name, variable in network.variables_by_name().items()}
    set_steps(optimizer, state.step)
    for place, variable in enumerate(network.trainable_variables):
        name = names[id(variable)]
        optimizer._momentums[place].assign(state.means[name])
        optimizer._velocities[place].assign(state.squares[name])


def adam_state(optimizer: keras.optimizers.Adam, network) -> Adam | None:
    """What :func:`take_adam` takes; None before the first step."""
    step = int(optimizer.iterations)
    if not step:
        return None
    names = {id(variable): name for name, variable in network.variables_by_name().items()}
    keys = [names[id(variable)] for variable in network.trainable_variables]
    means, squares = (
        dict(zip(keys, map(np.asarray, values), strict=True))
        for values in (optimizer._momentums, optimizer._velocities)
    )
    return Adam(step, means, squares)


def tell_steps(task: VocoderTask, validation: Callable) -> None:
    """Leave on the model how many steps came before the run, which a resumed one knows."""
    task.model.before = int(task.before)


STAGE = Stage("vocoder", VocoderTask, crops, hand_on=tell_steps)
