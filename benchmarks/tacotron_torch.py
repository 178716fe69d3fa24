"""SV2TTS's Tacotron in plain torch, with the keys of RTVC: the other side of a timing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

Weights = dict[str, torch.Tensor]


class TorchTacotron:
    """Teacher-forced and free-running, dropout of the pre-nets as told.

    Args:
        arrays: a state dict of the synthesizer.
        r: frames a decoder step.
        dropout: of the pre-nets.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], r: int = 2, dropout: float = 0.5):
        self.r, self.dropout = r, dropout
        self.weights: Weights = {
            key: torch.tensor(value) for key, value in arrays.items() if value.dtype == np.float32
        }
        self.grus = {name: self._gru(name) for name in ("encoder.cbhg.rnn", "postnet.rnn")}

    def parameters(self) -> list[torch.Tensor]:
        """What is trained."""
        fixed = ("running_mean", "running_var", "stop_threshold")
        own = [
            value.requires_grad_(True)
            for key, value in self.weights.items()
            if not key.endswith(fixed) and not key.startswith(tuple(self.grus))
        ]
        return own + [item for gru in self.grus.values() for item in gru.parameters()]

    def forward(self, ids, embeddings, mels, training: bool = False):
        """Mel and linear ``(batch, mels, frames)``, attention and stop logits."""
        memory = self.encode(ids, embeddings, training)
        state, frame = self.start(memory), torch.zeros_like(mels[:, :, 0])
        made = []
        for step in range(mels.shape[2] // self.r):
            frame = mels[:, :, step * self.r - 1] if step else frame
            state = self.step(state, memory, frame, training)
            made.append((state["frames"], state["weights"], state["stop"]))
        mel = torch.cat([item[0] for item in made], 2)
        attention = torch.stack([item[1] for item in made], 1)
        stop = torch.cat([item[2].expand(-1, self.r) for item in made], 1)
        return mel, self.refine(mel, training), attention, stop

    def generate(self, ids, embeddings, steps: int):
        """Linear ``(batch, mels, frames)`` of ``steps`` decoder steps of its own."""
        with torch.no_grad():
            memory = self.encode(ids, embeddings, False)
            state, made = self.start(memory), []
            frame = torch.zeros(len(ids), 80)
            for _ in range(steps):
                state = self.step(state, memory, frame, False)
                made.append(state["frames"])
                frame = state["frames"][:, :, -1]
            return self.refine(torch.cat(made, 2), False)

    def encode(self, ids, embeddings, training: bool) -> tuple:
        """Encoder output with the speaker beside, its projection, and what is no padding."""
        hidden = self._prenet("encoder.pre_net", self.weights["encoder.embedding.weight"][ids])
        hidden = self._cbhg("encoder.cbhg", hidden.transpose(1, 2), 5, training)
        beside = embeddings[:, None].expand(-1, ids.shape[1], -1)
        hidden = torch.cat([hidden, beside], 2)
        return hidden, hidden @ self.weights["encoder_proj.weight"].T, (ids != 0).float()

    def refine(self, mel, training: bool):
        """The post-net's mel."""
        hidden = self._cbhg("postnet", mel, 5, training)
        return (hidden @ self.weights["post_proj.weight"].T).transpose(1, 2)

    def start(self, memory: tuple) -> dict:
        """State before the first step."""
        batch, width, dims = memory[0].shape
        state = {name: torch.zeros(batch, 1024) for name in ("h1", "c1", "h2", "c2")}
        state |= {"query": torch.zeros(batch, 128), "context": torch.zeros(batch, dims)}
        return state | {"cumulative": torch.zeros(batch, width)}

    def step(self, state: dict, memory: tuple, frame, training: bool) -> dict:
        """State behind one decoder step, with its frames, weights and stop."""
        encoded, projected, present = memory
        w = self.weights
        frame = self._prenet("decoder.prenet", frame)
        beside = torch.cat([state["context"], frame], 1)
        query = torch.gru_cell(beside, state["query"], *self._rnn("decoder.attn_rnn"))
        where = F.conv1d(
            state["cumulative"][:, None], *self._linear("decoder.attn_net.conv"), padding=15
        )
        where = where.transpose(1, 2) @ w["decoder.attn_net.L.weight"].T
        asked = F.linear(query, *self._linear("decoder.attn_net.W"))[:, None]
        scores = torch.tanh(asked + projected + where) @ w["decoder.attn_net.v.weight"].T
        weights = torch.softmax(scores[..., 0] * present, 1)
        context = (weights[:, None] @ encoded)[:, 0]
        x = F.linear(torch.cat([context, query], 1), *self._linear("decoder.rnn_input"))
        new = {"query": query, "context": context, "weights": weights}
        new["cumulative"] = state["cumulative"] + weights
        for name in "12":
            own, old = self._rnn(f"decoder.res_rnn{name}"), state[f"h{name}"]
            hidden, new[f"c{name}"] = torch.lstm_cell(x, (old, state[f"c{name}"]), *own)
            if training:
                kept = torch.bernoulli(torch.full_like(old, 0.1))
                hidden = old * kept + hidden * (1 - kept)
            new[f"h{name}"] = hidden
            x = x + hidden
        frames = F.linear(x, w["decoder.mel_proj.weight"]).view(len(x), 80, 20)
        stop = F.linear(torch.cat([x, context], 1), *self._linear("decoder.stop_proj"))
        return new | {"frames": frames[:, :, : self.r], "stop": stop}

    def _prenet(self, name: str, x):
        for layer in ("fc1", "fc2"):
            x = torch.relu(F.linear(x, *self._linear(f"{name}.{layer}")))
            x = F.dropout(x, self.dropout, True) if self.dropout else x
        return x

    def _cbhg(self, name: str, x, kernels: int, training: bool):
        time, start = x.shape[2], x
        bank = [
            self._conv(f"{name}.conv1d_bank.{k}", x, (k + 1) // 2, training)[:, :, :time]
            for k in range(kernels)
        ]
        x = F.max_pool1d(torch.cat(bank, 1), 2, 1, 1)[:, :, :time]
        x = self._conv(f"{name}.conv_project1", x, 1, training)
        x = self._conv(f"{name}.conv_project2", x, 1, training, relu=False) + start
        x = x.transpose(1, 2)
        if f"{name}.pre_highway.weight" in self.weights:
            x = x @ self.weights[f"{name}.pre_highway.weight"].T
        for number in range(4):
            gate = torch.sigmoid(F.linear(x, *self._linear(f"{name}.highways.{number}.W2")))
            new = torch.relu(F.linear(x, *self._linear(f"{name}.highways.{number}.W1")))
            x = gate * new + (1 - gate) * x
        return self.grus[f"{name}.rnn"](x)[0]

    def _conv(self, name: str, x, padding: int, training: bool, relu: bool = True):
        x = F.conv1d(x, self.weights[f"{name}.conv.weight"], padding=padding)
        w, own = self.weights, f"{name}.bnorm"
        moments = w[f"{own}.running_mean"], w[f"{own}.running_var"]
        x = torch.relu(x) if relu else x
        return F.batch_norm(x, *moments, w[f"{own}.weight"], w[f"{own}.bias"], training, 0.1)

    def _linear(self, name: str) -> tuple:
        return self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]

    def _rnn(self, name: str) -> tuple:
        return tuple(
            self.weights[f"{name}.{part}"]
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )

    def _gru(self, name: str) -> torch.nn.GRU:
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in self.weights.items()
            if key.startswith(f"{name}.")
        }
        units, inputs = own["weight_hh_l0"].shape[1], own["weight_ih_l0"].shape[1]
        gru = torch.nn.GRU(inputs, units, batch_first=True, bidirectional=True)
        gru.load_state_dict(own)
        return gru
