"""The losses of a fine-tuning batch are those of Coqui's trainer."""

import numpy as np
import pytest

from myxtts.losses import masked_cross_entropy
from myxtts.training.stages.gpt import with_stops
from myxtts.weights.coqui_xtts import convert_checkpoint

TTS = pytest.importorskip("TTS", reason="coqui-tts is not installed (make reference)")
torch = pytest.importorskip("torch", reason="torch is not installed (make reference)")

LENGTHS = {"text": [9, 5, 12], "codes": [20, 31, 11]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from benchmarks.upstream.coqui import write_checkpoint

    folder = tmp_path_factory.mktemp("XTTS-v2")
    upstream, _ = write_checkpoint(folder)
    return upstream.gpt.eval(), convert_checkpoint(folder).gpt


@pytest.fixture(scope="module")
def batch(models) -> dict:
    rng = np.random.default_rng(3)
    gpt = models[1]
    rows = len(LENGTHS["text"])
    return {
        "text_ids": rng.integers(3, 250, (rows, max(LENGTHS["text"]))).astype("int32"),
        "text_lengths": np.array(LENGTHS["text"], "int32"),
        "audio_codes": rng.integers(0, gpt.num_codes, (rows, max(LENGTHS["codes"]))).astype(
            "int32"
        ),
        "code_lengths": np.array(LENGTHS["codes"], "int32"),
        "conditioning_latents": rng.normal(size=(rows, 32, gpt.model_dim)).astype("float32"),
    }


def coquis_losses(gpt, batch: dict) -> tuple[float, float]:
    def integers(name):
        return torch.from_numpy(batch[name]).long()

    text = integers("text_ids")
    for row, length in enumerate(LENGTHS["text"]):
        text[row, length:] = 0
    with torch.no_grad():
        text_loss, audio_loss, _ = gpt(
            text,
            integers("text_lengths"),
            integers("audio_codes"),
            integers("code_lengths") * 1024,
            cond_mels=torch.zeros(len(text), 1, 80, 64),
            cond_latents=torch.from_numpy(batch["conditioning_latents"]),
        )
    return float(text_loss), float(audio_loss)


def losses(gpt, batch: dict, compatible: bool) -> tuple[float, float]:
    more = with_stops(batch, gpt.stop_audio_token) if compatible else {}
    outputs = gpt(batch | more, coqui_compatible=compatible)
    return tuple(
        float(masked_cross_entropy(outputs[f"{kind}_logits"], outputs[f"{kind}_targets"]))
        for kind in ("text", "audio")
    )


def test_losses_are_coquis(models, batch):
    theirs = coquis_losses(models[0], batch)
    assert losses(models[1], batch, compatible=True) == pytest.approx(theirs, rel=1e-4)


def test_without_coqui_compatible_only_the_stops_count_less(models, batch):
    text, audio = coquis_losses(models[0], batch)
    ours = losses(models[1], batch, compatible=False)
    assert ours[0] == pytest.approx(text, rel=1e-4)
    assert ours[1] != pytest.approx(audio, rel=1e-3)
