"""A stream over plain requests: each call takes the state in and gives audio and state out.

The state is what has been said, the audio codes and the number of frames given out. A call
reads the codes again, in one pass, rather than being sent the GPT's cache, which would be a
hundred megabytes.
"""

from __future__ import annotations

import tensorflow as tf

from myxtts.generation.frames import ready_frames, settled_frames
from myxtts.generation.sampling import drawing
from myxtts.generation.state import advance, begin
from myxtts.serving.graph.refusal import required, speech
from myxtts.serving.graph.synthesizer import GraphSpeaker
from myxtts.timing import HOP_LENGTH


class GraphStream(tf.Module):
    """Chunks of the speech that :meth:`GraphSpeaker.speak` makes as a whole.

    Args:
        speaker: whose vocoder is the decoder; Griffin-Lim needs the whole.
    """

    def __init__(self, speaker: GraphSpeaker):
        super().__init__(name="stream")
        self.speaker = speaker
        self.model = speaker.model

    def start(self, ids) -> dict:
        """The state before the first chunk of texts ``(batch, text)``: see :meth:`next`."""
        rows = tf.shape(ids)[0]
        return {"codes": tf.zeros((rows, 0), "int32"), "emitted": tf.zeros((rows,), "int32")}

    def next(
        self, ids, lengths, voice: dict, options: dict, characters, state: dict, count
    ) -> dict:
        """The next ``count`` codes of every row, as audio.

        Args:
            ids, lengths, voice, options, characters: as for :meth:`GraphSpeaker.speak`, the
                same in every call.
            state: ``codes`` int32 ``(batch, made)``, with stop codes where a row has ended,
                and ``emitted`` int32 ``(batch,)``, frames given out.
            count: int32, codes to make.

        Returns:
            ``waveform`` ``(batch, samples)``, padded with zeros, ``samples`` ``(batch,)``,
            the next ``codes`` and ``emitted``, and ``finished`` ``(batch,)``: whether there
            is nothing more to come.
        """
        speaker, gpt = self.speaker, self.model.gpt
        ids, lengths = speaker.checked_text(ids, lengths)
        voice, state = speaker.checked_voice(voice), self._checked(state)
        bound, least = speaker.bounds(characters)
        before = tf.shape(state["codes"])[1]
        count = tf.maximum(tf.minimum(count, gpt.max_new_codes - before), 0)
        latents = voice["latents"]
        compatible = speaker.settings.coqui_compatible
        read = begin(gpt, ids, lengths, latents, count, compatible, codes=state["codes"])
        made, _ = advance(
            gpt,
            read,
            speaker.uniforms(options["seed"])[:, before : before + count],
            min_codes=least[:, None],
            max_codes=bound,
            coqui_compatible=compatible,
            **drawing(**speaker.checked_options(options)),
        )
        codes = tf.concat([state["codes"], made["codes"]], axis=1)
        spoken = tf.reduce_sum(tf.cast(codes != gpt.stop_audio_token, "int32"), axis=1)
        finished = tf.logical_or(made["finished"], spoken >= bound)
        latents = tf.concat([read["latents"], made["latents"]], axis=1)
        # Rows that end with a stop code, not by their bound.
        heard = speaker.heard(spoken, made["finished"] & (spoken < bound))
        rows = (latents, heard, finished, state["emitted"], voice["speaker_embedding"])
        waveform, samples = self._chunks(*rows)
        waveform = speech(waveform)
        emitted = state["emitted"] + samples // HOP_LENGTH
        state = {"codes": codes, "emitted": emitted, "finished": finished}
        return {"waveform": waveform, "samples": samples} | state

    def _checked(self, state: dict) -> dict:
        """The state, if a call before could have given it."""
        codes, emitted, gpt = state["codes"], state["emitted"], self.model.gpt
        known = (codes >= 0) & (codes <= gpt.stop_audio_token)
        most = gpt.max_new_codes
        rules = (
            (known, "codes holds a number that is no audio code."),
            (tf.shape(codes)[1] <= most, f"codes holds more than {most}, which no speech has."),
        )
        told = "emitted must be at least 0."
        return {
            "codes": required(codes, *rules),
            "emitted": required(emitted, (emitted >= 0, told)),
        }

    def _chunks(self, latents, spoken, finished, emitted, embedding) -> tuple:
        """Audio of the frames that can no longer change and have not been given out."""
        decoder = self.model.decoder
        ready = ready_frames(spoken, finished, decoder.unsettled)
        last = settled_frames(ready, finished, decoder.lookahead)
        samples = HOP_LENGTH * tf.maximum(last - emitted, 0)
        longest = tf.reduce_max(samples)

        def row(inputs):
            own, length, ready, first, count, voice = inputs
            wave = tf.cond(
                count > 0,
                lambda: self._window(own[:length], voice, ready, first, count),
                lambda: tf.zeros((0,)),
            )
            return tf.pad(wave, [[0, longest - count]])

        rows = (latents, spoken, ready, emitted, samples, embedding)
        return tf.map_fn(row, rows, fn_output_signature=tf.TensorSpec((None,))), samples

    def _window(self, latents, embedding, ready, emitted, count):
        decoder = self.model.decoder
        first = tf.maximum(emitted - decoder.receptive_field, 0)
        frames = decoder.frames(latents[None], embedding[None], 0, first)[:, : ready - first]
        wave = self.speaker.vocoder.vocode(frames, embedding)
        start = (emitted - first) * HOP_LENGTH
        return wave[start : start + count]
