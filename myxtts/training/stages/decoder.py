"""Stage ``decoder``: GPT latents to a waveform."""

from __future__ import annotations

import dataclasses
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from myxtts import replicas
from myxtts.audio.frontends import XTTS_DVAE
from myxtts.audio.mel import MelSpectrogram
from myxtts.config import XTTSConfig
from myxtts.data.store import Feature
from myxtts.data.xtts import PADDING, batch_options, decoder_batch
from myxtts.data.xtts_features import pitches
from myxtts.generation.vocoding import GRIFFIN_LIM, codes_to_waveform
from myxtts.losses import masked_mean, stft_loss, whole_mean
from myxtts.models.harmonic_source import octaves_of
from myxtts.models.istft_decoder import IstftDecoder
from myxtts.models.xtts import XTTS
from myxtts.timing import OUTPUT_RATE
from myxtts.training.adversary import Adversary, Game
from myxtts.training.consistency import SpeakerConsistency
from myxtts.training.optimizers import make_optimizer
from myxtts.training.segments import BareSegments, SegmentsInContext
from myxtts.training.stage import Stage, Task
from myxtts.training.stages.gpt import code_features, code_lengths, encode_codes, gpt_inputs

# The mel loss sees the decoder's whole band, unlike the 8 kHz of the codes' mels.
LOSS_MEL = dataclasses.replace(XTTS_DVAE, sample_rate=OUTPUT_RATE, f_max=12_000.0)

# Griffin-Lim knows nothing above the 8 kHz of the codes' mels; both vocoders are judged below.
JUDGE_MEL = dataclasses.replace(XTTS_DVAE, sample_rate=OUTPUT_RATE)
JUDGED_UTTERANCES = 8


class DecoderTask(Task):
    """Mel, spectral, adversarial and feature-matching losses on random segments (Kong et al. 2020).

    GPT and DVAE stand still; the decoder and the audio encoder's own speaker path
    learn (a pretrained one has none: its projection conditions the GPT too). The
    discriminators join at ``training.adversarial_start``. With the istft decoder XLA compiles
    what has one size alone, its pass and its spectra: the latents' sizes would each want a graph
    of their own, and on a processor XLA's convolutions would make the discriminators slower.
    """

    metric = "mel_loss"

    def __init__(self, model: XTTS, config: XTTSConfig):
        self.model = model
        self.config = config.training
        self.mel = MelSpectrogram(LOSS_MEL, name="loss_mel")
        self.segments = keras.random.SeedGenerator(config.training.seed)
        self.compiles_itself = isinstance(model.decoder, IstftDecoder)
        kind = SegmentsInContext if self.compiles_itself else BareSegments
        self.cutter = kind(model.decoder, self.config.segment_codes)
        # What replicas tell each other on the way is no part of a compiled graph.
        compiled = self.compiles_itself and bool(self.config.xla) and self.config.strategy == "none"
        if self.compiles_itself:
            model.decoder.shift(compiled)
        self._compiled_spoken = self._spoken
        if compiled:
            self._compiled_spoken = tf.function(self._spoken, jit_compile=True, autograph=False)
        self.consistency = None
        if self.config.speaker_loss_weight:
            encoder = model.audio_encoder.speaker_encoder.encoder
            self.consistency = SpeakerConsistency(encoder, self.config.segments_per_utterance)
        self.adversary = _adversary(config)
        generator = model.decoder.trainable_variables + model.audio_encoder.speaker_variables
        self.groups = [
            (make_optimizer(config.training.decoder, config.training, variables), variables)
            for variables in (generator, self.adversary.trainable_variables)
        ]
        start, steps = self.config.adversarial_start, self.config.decoder.steps
        self.game = Game(self.adversary, self.groups, start, steps)
        # What discriminators teach is heard, and makes no distance of mels smaller.
        self.keeps_last = self.game.plays

    @property
    def variables(self) -> list:
        """All state of the stage: generator, speaker path, discriminators, segment seed.

        Conditioning stands still here: going on with this stage must not set it back.
        """
        states = self.model.decoder.variables + self.model.audio_encoder.speaker_state
        return [*states, *self.adversary.variables, self.segments.state]

    def phase(self) -> bool:
        return self.game.is_on

    def train_step(self, batch: dict) -> dict:
        inputs, wave = self._segments(batch, self._latents(batch))
        # Latents tell voices, too: of some the voice is another's, so that it is taken from the
        # embedding. There is no recording of these, but of who should be heard.
        swapped = self._swapped(wave)
        with tf.GradientTape() as tape:
            speaker = self._swap(self._repeated(self._speaker(batch, training=True)), swapped)
            fake, numbers = self._compiled_spoken(inputs, speaker, wave)
            if self.consistency is not None:
                numbers["speaker_loss"] = self.consistency(self._swap(wave, swapped), fake)
            loss = self.config.mel_loss_weight * numbers["mel_loss"]
            loss += self.config.stft_loss_weight * numbers.get("stft_loss", 0.0)
            loss += self.config.pitch_loss_weight * numbers.get("pitch_loss", 0.0)
            loss += self.config.speaker_loss_weight * numbers.get("speaker_loss", 0.0)
        judgement = self.game.play(wave, fake, self.config.feature_loss_weight, swapped)
        return numbers | self.game.step(tape, loss, fake, judgement)

    def _spoken(self, inputs: tuple, speaker, wave) -> tuple:
        """The decoder's rendering of segments, and how far its spectra are from ``wave``'s."""
        swapped = self._swapped(wave)
        fake, pitch = self.cutter.speak(inputs, speaker, swapped)
        numbers = {"mel_loss": self._mel_loss(wave[swapped:], fake[swapped:])}
        if pitch is not None:
            numbers |= pitch_losses(*pitch)
        if self.config.stft_loss_weight:
            numbers["stft_loss"] = stft_loss(wave[swapped:], fake[swapped:])
        return fake, numbers

    def _swapped(self, segments):
        """How many of the segments, the first, are spoken in the voice of another utterance."""
        if not self.config.speaker_swap:
            return 0
        each = self.config.segments_per_utterance
        utterances = replicas.whole(tf.shape(segments)[0] // each)
        share = tf.cast(utterances, "float32") * self.config.speaker_swap
        return replicas.current().own_of_first(tf.cast(share, "int32")) * each

    def _swap(self, rows, swapped):
        """The first rows replaced by those of the utterance before."""
        if not self.config.speaker_swap:
            return rows
        each = self.config.segments_per_utterance
        others = replicas.own(tf.roll(replicas.gathered(rows, each), each, axis=0))
        return tf.concat([others[:swapped], rows[swapped:]], axis=0)

    def validation_step(self, batch: dict) -> dict:
        fake = self._speak(batch)
        samples = tf.minimum(tf.shape(fake)[1], tf.shape(batch["wave"])[1])
        mask = tf.sequence_mask(batch["wave_lengths"], samples, dtype="float32")
        mel_loss = self._mel_loss(batch["wave"][:, :samples] * mask, fake[:, :samples] * mask)
        weight = tf.reduce_sum(tf.cast(batch["wave_lengths"], "float32"))
        return {"loss": mel_loss, "mel_loss": mel_loss, "weight": weight}

    def pictures(self, batch: dict) -> dict[str, np.ndarray]:
        """Mel of the recording beside the decoder's."""
        length = int(batch["wave_lengths"][0])
        spoken = self._speak(batch)[:1, :length]
        return {
            "mel/target": np.asarray(self.mel(batch["wave"][:1, :length])[0]),
            "mel/spoken": np.asarray(self.mel(spoken)[0]),
        }

    def sounds(self, batch: dict) -> dict[str, tuple[int, np.ndarray]]:
        """The first recording of the batch and the decoder's rendering of it."""
        length = int(batch["wave_lengths"][0])
        spoken = np.asarray(self._speak(batch)[0, :length])
        return {
            "target": (OUTPUT_RATE, np.asarray(batch["wave"][0, :length])),
            "spoken": (OUTPUT_RATE, spoken),
        }

    def judge_vocoders(self, batches) -> None:
        """Leave on the model the mean mel error of both vocoders, which decides who speaks.

        Args:
            batches: whose first utterances are judged.
        """
        mel = MelSpectrogram(JUDGE_MEL, name="judge_mel")
        own = self.model.decoder.vocoder
        errors: dict[str, list[float]] = {GRIFFIN_LIM: [], own: []}

        def judge(vocoder: str, wave: np.ndarray, target: np.ndarray) -> None:
            size = min(len(wave), len(target))
            difference = mel(wave[None, :size]) - mel(target[None, :size])
            errors[vocoder].append(float(tf.reduce_mean(tf.abs(difference))))

        for batch in batches:
            spoken = np.asarray(self._speak(batch))
            codes, lengths = (np.asarray(item) for item in encode_codes(self.model, batch))
            for row, length in enumerate(lengths):
                target = np.asarray(batch["wave"][row, : batch["wave_lengths"][row]])
                judge(GRIFFIN_LIM, codes_to_waveform(self.model, codes[row, :length]), target)
                judge(own, spoken[row], target)
            if len(errors[own]) >= JUDGED_UTTERANCES:
                break
        self.model.vocoder_errors = {
            vocoder: round(float(np.mean(values)), 4) for vocoder, values in errors.items()
        }

    def _latents(self, batch: dict):
        encoder = self.model.audio_encoder
        conditioning = encoder.conditioning_latents(encoder.features_from_batch(batch))
        outputs = self.model.gpt(gpt_inputs(self.model, batch, conditioning), training=False)
        return tf.stop_gradient(outputs["audio_latents"][:, :-1])

    def _speaker(self, batch: dict, training: bool):
        encoder = self.model.audio_encoder
        # Where no speaker layer learns here, no statistic may move either.
        training = training and bool(encoder.speaker_layers)
        return encoder.speaker_embedding(encoder.features_from_batch(batch), training=training)

    def _speak(self, batch: dict):
        speaker = self._speaker(batch, training=False)
        return self.model.decoder(self._latents(batch), speaker, training=False)

    def _segments(self, batch: dict, latents) -> tuple:
        """Cut random segments of each utterance out of latents and waveform."""
        rows = [latents, code_lengths(batch["mel_lengths"]), batch["wave"], batch["wave_lengths"]]
        if "pitch" in batch:
            rows.append(batch["pitch"])
        latents, lengths, *waves = map(self._repeated, rows)
        spare = tf.maximum(lengths - self.config.segment_codes, 0)
        rows = replicas.whole(tf.shape(latents)[0])
        draws = replicas.own(keras.random.uniform((rows,), seed=self.segments))
        starts = tf.cast(draws * tf.cast(spare + 1, "float32"), "int32")
        return self.cutter.cut(starts, latents, lengths, *waves)

    def _repeated(self, rows):
        """A row for every segment of an utterance."""
        count = self.config.segments_per_utterance
        return rows if count == 1 else tf.repeat(rows, count, axis=0)

    def _mel_loss(self, real, fake):
        return whole_mean(tf.abs(self.mel(real) - self.mel(fake)))


def pitch_losses(octaves, voiced, pitch, known) -> dict:
    """How far a predicted pitch is from the true one.

    Args:
        octaves, voiced: as :class:`~myxtts.models.harmonic_source.PitchHead` tells them.
        pitch: Hz, 0 where not voiced.
        known: whether a frame is one; all ``(batch, frames)``.

    Returns:
        ``pitch_loss``, which is optimised: mean octaves off, of voiced frames, and the
        cross-entropy of being voiced; ``pitch_octaves`` the former alone.
    """
    truly = tf.cast((pitch > 0) & known, "float32")
    known = tf.cast(known, "float32")
    octaves_off = masked_mean(tf.abs(octaves - octaves_of(pitch)), truly)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=truly, logits=voiced)
    entropy = masked_mean(entropy, known)
    return {"pitch_loss": octaves_off + entropy, "pitch_octaves": octaves_off}


def _features(model: XTTS) -> dict[str, Feature]:
    """The audio codes, and the pitches for a decoder that makes its speech of harmonics."""
    return code_features(model) | ({"pitch": pitches()} if model.decoder.harmonic else {})


def _adversary(config: XTTSConfig) -> Adversary:
    """The discriminators, as wide as the configuration says or as the decoder is."""
    training, decoder = config.training, config.model.decoder
    width = decoder.istft.dim if decoder.kind == "istft" else decoder.initial_channels
    scale = training.discriminator_width or width / 512
    return Adversary(training.discriminators, scale, training.adversarial_objective)


STAGE = Stage(
    "decoder",
    DecoderTask,
    batches=lambda corpus, config: partial(
        decoder_batch, corpus, options=batch_options(config, True)
    ),
    needs=("dvae", "gpt"),
    features=_features,
    padding=PADDING,
    hand_on=lambda task, validation: task.judge_vocoders(validation()),
)
