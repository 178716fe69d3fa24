"""Stage ``synthesizer``: learn to say texts as mel spectrograms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from myxtts import replicas
from myxtts.audio.frontends import RTVC_SYNTHESIZER
from myxtts.audio.io import write_audio
from myxtts.audio.mel import sequence_mask
from myxtts.audio.rtvc_griffin_lim import rtvc_griffin_lim
from myxtts.data.rtvc_folders import save_array
from myxtts.data.synthesizer import PADDING, PhasePlan, batches, place
from myxtts.errors import MyXTTSError
from myxtts.files import write_whole
from myxtts.plots import new_figure, save_figure, show_matrix
from myxtts.synthesizer_config import Phase, SynthesizerConfig
from myxtts.synthesizer_losses import guided_attention, spoken_attention, tacotron_losses
from myxtts.training.optimizers import Since, begin_means
from myxtts.training.stage import Copies, Stage, Task, weighted_means
from myxtts.weights import rtvc_synthesizer

logger = logging.getLogger(__name__)

# Of the run folder: the file that goes along with the training, in RTVC's format.
EXPORT = "synthesizer.pt"
# Behind the end of an utterance so many steps' stops still count.
STEPS_BEHIND = 5
# Dropout of validations.
SEED = 1
LARGEST = 4.0


@keras.saving.register_keras_serializable("myxtts")
class PhaseRates(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of the phase that a step is in.

    Args:
        rates, ends: of the phases.
        before: steps made before the run, which are steps of the schedule too.
    """

    def __init__(self, rates: list[float], ends: list[int], before: int = 0):
        self.rates, self.ends, self.before = list(rates), list(ends), before

    def __call__(self, step):
        done = ops.cast(step, "int64") + self.before
        ended = ops.sum(ops.cast(done >= ops.convert_to_tensor(self.ends[:-1], "int64"), "int32"))
        return ops.take(ops.convert_to_tensor(self.rates, "float32"), ended)

    def get_config(self) -> dict:
        return {"rates": self.rates, "ends": self.ends, "before": self.before}


class SynthesizerTask(Task):
    """Lower a Tacotron's losses on its own corpus, phase by phase.

    Every validation leaves ``synthesizer.pt``, pictures and sounds in the run folder, under
    RTVC's names.

    Args:
        model: see :class:`myxtts.training.stages.synthesizer_system.SynthesizerModel`.
        config: its training is read.
    """

    def __init__(self, model, config: SynthesizerConfig):
        self.model, self.network, self.training = model, model.network, config.training
        self.phases = self.training.phases
        self.before = keras.Variable(model.before, dtype="int64", trainable=False)
        self.r = keras.Variable(model.network.r, dtype="int32", trainable=False)
        self.counted = keras.Variable(0, dtype="int64", trainable=False)
        behind = model.before, self.counted
        self.optimizer = make_adam(self.training, self.network, *behind, model.source)
        self.groups = [(self.optimizer, self.network.trainable_variables)]
        self.copies = Copies(self.training.backup_every, self.training.validate_every)

    @property
    def variables(self) -> list:
        """The network, its r, and how many steps came before this run."""
        return [*self.network.variables, self.r, self.before, self.counted]

    @property
    def step(self) -> int:
        """Steps behind the weights, those before this run included."""
        return int(self.before) + int(self.optimizer.iterations) - int(self.counted)

    def losses(self, batch: dict, training: bool) -> dict[str, tf.Tensor]:
        if training:
            self.r.assign(batch["r"])
        return self._numbers(batch, self.spoken(batch, training))

    def spoken(self, batch: dict, training: bool):
        """What the network makes of a batch, teacher-forced."""
        steps = ops.shape(batch["mels"])[1] // batch["r"]
        seed = None if training else SEED
        masks = self.network.draw(batch["ids"], steps, training, seed)
        teacher = batch["mels"]
        share = self.training.drop_frames
        if training and share:
            teacher = with_gaps(teacher, batch["lengths"], share, self.network.seeds)
        inputs = batch["ids"], batch["embedding"], teacher
        return self.network(*inputs, r=batch["r"], masks=masks, training=training)

    def _numbers(self, batch: dict, spoken) -> dict[str, tf.Tensor]:
        frames = tf.range(tf.shape(batch["mels"])[1])[None]
        own, heard = None, None
        if self.training.masked_losses:
            own = frames < batch["lengths"][:, None]
            heard = frames < batch["lengths"][:, None] + STEPS_BEHIND * batch["r"]
        parts = tacotron_losses(spoken, batch["mels"], batch["stops"], own, heard)
        total = parts["m1"] + parts["m2"] + parts["stop"]
        weight = self.training.guided_attention
        if weight:
            steps = -(-batch["lengths"] // batch["r"])
            parts["attention"] = guided_attention(
                spoken.attention, steps, batch["characters"], batch["paths"]
            )
            total = total + weight * parts["attention"]
        weight = self.training.spoken_attention
        if weight:
            own = spoken.attention, batch["characters"], batch["paths"]
            parts["spoken"] = spoken_attention(*own)
            total = total + weight * parts["spoken"]
        return {"loss": total, **parts}

    def weight(self, batch: dict) -> tf.Tensor:
        return tf.cast(tf.shape(batch["mels"])[0], "float32")

    def validate(self, batches: Iterable[dict], step: Callable) -> dict[str, float]:
        """Mean losses at the phase's r."""
        self.model.validation.r = self._phase().r
        return weighted_means(batches, step)

    def saved(self, step: int) -> None:
        """Write the files of the run that are RTVC's."""
        self.export()

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """Attention and mels of the first validation utterance, drawn into ``plots`` too."""
        self._first = first = _first(batch, self.spoken(batch, training=False))
        step, folder = self.step, self.model.run_dir / "plots"
        self._draw(folder / f"attention_step_{step}_sample_1.png", first["attention"])
        both = first["target"], first["predicted"]
        self._draw(folder / f"step-{step}-mel-spectrogram_sample_1.png", *both)
        return {f"synthesizer/{name}": first[name] for name in ("attention", *_MELS)}

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """The same utterance by Griffin-Lim, from the teacher-forced mel, which is kept too."""
        mel, name = self._first["predicted"], f"mel-prediction-step-{self.step}_sample_1.npy"
        path = _made(self.model.run_dir / "mel-spectrograms") / name
        self._keep(lambda: save_array(path, mel))
        mel = np.clip(mel, -LARGEST, LARGEST)
        if mel.shape[1] != RTVC_SYNTHESIZER.n_mels or len(mel) < 5 or not self.step:
            return {}
        wave, rate = rtvc_griffin_lim(mel), RTVC_SYNTHESIZER.sample_rate
        name = f"step-{self.step}-wave-from-mel_sample_1.wav"
        self._keep(lambda: write_audio(_made(self.model.run_dir / "wavs") / name, wave, rate))
        return {"synthesizer/griffin_lim": (rate, wave)}

    def export(self) -> None:
        """Write ``synthesizer.pt``, and a copy that stays where one is due."""
        step = self.step
        self.network.r, self.network.step = int(self.r), step
        paths = [self.model.run_dir / EXPORT]
        if self.copies.due(step):
            paths.append(self.model.run_dir / f"synthesizer_{step // 1000:06d}.pt")
        symbols = "\n".join("\\s" if item == " " else item for item in self.network.config.symbols)
        metas = _made(self.model.run_dir / "metas") / "CharacterEmbeddings.tsv"
        self._keep(lambda: write_whole(metas, symbols + "\n"))
        for path in paths:
            self._keep(lambda path=path: rtvc_synthesizer.write(path, self.network, self.optimizer))

    def _phase(self) -> Phase:
        return self.phases[place(self.phases, max(self.step - 1, 0))]

    def _draw(self, path: Path, *matrices: np.ndarray) -> None:
        figure, axes = new_figure(len(matrices))
        for one, matrix in zip(np.ravel(axes), matrices, strict=True):
            show_matrix(one, matrix)
        _made(path.parent)
        self._keep(lambda: save_figure(figure, path))

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except MyXTTSError as error:
            logger.warning("%s The run goes on without that file.", error)


def with_gaps(mels, lengths, share: float, seed):
    """Mels in which some frames, drawn at random, are the mean of their utterance.

    Args:
        mels: ``(batch, frames, mels)``, a replica's rows of the batch.
        lengths: int ``(batch,)``, frames of each utterance.
        share: of the frames that are replaced, 0 to 1.
        seed: an int, or Keras's generator of seeds.
    """
    batch, frames = tf.shape(mels)[0], tf.shape(mels)[1]
    own = tf.cast(sequence_mask(lengths, frames), mels.dtype)[..., None]
    mean = tf.reduce_sum(mels * own, 1) / tf.cast(lengths, mels.dtype)[:, None]
    drawn = keras.random.uniform((replicas.whole(batch), frames, 1), seed=seed)
    return tf.where(replicas.own(drawn) < share, mean[:, None], mels)


_MELS = ("target", "predicted")


def _first(batch: dict, spoken) -> dict[str, np.ndarray]:
    """Matrices of the first utterance without its padding."""
    length, r = int(batch["lengths"][0]), int(batch["r"])
    steps, characters = -(-length // r), int(batch["characters"][0])
    return {
        "attention": np.asarray(spoken.attention[0])[:steps, :characters],
        "target": np.asarray(batch["mels"][0])[:length],
        "predicted": np.asarray(spoken.linear[0])[:length],
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def make_adam(
    training, network, before: int, counted: keras.Variable, source: Path | None
) -> keras.optimizers.Adam:
    """Adam as torch has it, with the state in RTVC's file ``source`` where that has one.

    Args:
        training: the configuration's.
        network: the Tacotron.
        before: steps made before the run.
        counted: set to how many of them Adam has counted; a resumed run has it in its checkpoint.
        source: the file, or None.
    """
    rates = [phase.learning_rate for phase in training.phases]
    ends = [phase.until for phase in training.phases]
    optimizer = keras.optimizers.Adam(
        Since(PhaseRates(rates, ends, before), counted),
        epsilon=1e-8,
        global_clipnorm=training.gradient_clip,
        use_ema=training.weight_average > 0,
        ema_momentum=training.weight_average,
    )
    optimizer.build(network.trainable_variables)
    if source is not None and rtvc_synthesizer.load_optimizer(network, optimizer, source):
        counted.assign(optimizer.iterations)
    if optimizer.use_ema:
        begin_means(optimizer, network.trainable_variables)
    return optimizer


def plan(corpus, config: SynthesizerConfig) -> PhasePlan:
    """Which utterances meet."""
    training = config.training
    return PhasePlan(corpus, training.phases, training.seed, config.data.bucketing)


def tell_steps(task: SynthesizerTask, validation: Callable) -> None:
    """Leave on the network its r, and write the file of the weights that were best."""
    task.network.r, task.network.step = int(task.r), task.step
    task.export()


STAGE = Stage(
    "synthesizer", SynthesizerTask, batches, plan=plan, hand_on=tell_steps, padding=PADDING
)
