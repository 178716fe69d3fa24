"""The program that trains a synthesizer, and the one that writes its embeddings."""

import numpy as np
import pytest

from myxtts.audio.io import hum
from myxtts.errors import ConfigError, DataError, WeightsError
from tests.training.stages.test_synthesizer import write_corpus
from tools.sv2tts import synthesizer_preprocess_embeds
from tools.sv2tts.synthesizer_train import from_hparams, main, parser, resolve

SIZES = (
    "--embed-dims 12 --encoder-dims 8 --decoder-dims 6 --n-mels 5 --postnet-dims 8 "
    "--encoder-kernels 2 --lstm-dims 10 --postnet-kernels 2 --num-highways 1 --prenet-dims 8 "
    "--speaker-dims 4"
)


def args(tmp_path, *more: str):
    own = ["run", str(tmp_path / "syn"), "-m", str(tmp_path / "models"), *SIZES.split(), *more]
    return parser().parse_args(own)


def test_options_of_the_original_and_their_defaults(tmp_path):
    config = resolve(args(tmp_path))
    assert config.data.train_data == str(tmp_path / "syn")
    assert config.training.output_dir == str(tmp_path / "models" / "run")
    assert (config.training.validate_every, config.training.backup_every) == (1000, 25_000)
    assert config.training.phases[0] == (2, 1e-3, 20_000, 12)
    assert config.training.masked_losses and config.model.masked_attention
    config = resolve(args(tmp_path, "-s", "7", "-b", "14", "--rtvc-compatible"))
    assert (config.training.checkpoint_every, config.training.backup_every) == (7, 14)
    assert not config.training.masked_losses and config.training.guided_attention == 0
    assert not (config.model.masked_attention or config.data.bucketing)
    with pytest.raises(ConfigError):
        resolve(args(tmp_path, "-s", "0"))


@pytest.mark.slow
def test_a_run_is_gone_on_with_or_begun_anew(tmp_path, capsys):
    write_corpus(tmp_path / "syn")
    main(args(tmp_path, "-s", "2", "--schedule", "3:1e-3:2:3"))
    run_dir = tmp_path / "models" / "run"
    assert capsys.readouterr().out.strip() == str(run_dir / "preset")
    more = ("-s", "2", "--schedule", "3:1e-3:2:3", "2:1e-3:4:3", "--json")
    assert resolve(args(tmp_path, *more)).training.resume
    main(args(tmp_path, *more))
    assert '"synthesizer": 4' in capsys.readouterr().out
    config = resolve(args(tmp_path, *more, "-f"))
    assert (config.training.resume, config.training.init_from) == (False, None)


def test_hparams_with_commas():
    pytest.importorskip("myxtts.data.rtvc_hparams", reason="the reader of --hparams is not here")
    values = from_hparams("tts_schedule=[(7, 1e-3, 10, 4), (2, 1e-4, 20, 8)],tts_dropout=0.25")
    assert values["training"]["schedule"] == ["7:0.001:10:4", "2:0.0001:20:8"]
    assert values["model"] == {"dropout": 0.25}
    # What is as usual is said to a run that has it otherwise.
    assert from_hparams("max_mel_frames=900")["data"] == {"max_frames": 900}
    assert from_hparams("hop_size=200") == {}
    with pytest.raises(ConfigError, match="is no phase"):
        from_hparams("tts_schedule=[(7, 1e-3)]")


def embed(folder, encoder) -> None:
    own = [str(folder), "-e", str(encoder), "-n", "1"]
    synthesizer_preprocess_embeds.main(synthesizer_preprocess_embeds.parser().parse_args(own))


def test_embeddings_are_written_once(tmp_path, capsys):
    pytest.importorskip("torch", reason="torch is not installed")
    from myxtts.models.resemblyzer import ResemblyzerEncoder
    from myxtts.weights.rtvc_encoder import EncoderFile, to_torch, values_of, write_encoder

    folder = write_corpus(tmp_path / "syn")
    for path in (folder / "embeds").iterdir():
        path.unlink()
    for number in range(6):
        np.save(folder / "audio" / f"audio-{number}.npy", 0.1 * hum(1.8, 100 + number, 16_000))
    np.save(folder / "audio" / "audio-6.npy", np.zeros(16_000, "float32"))
    model = ResemblyzerEncoder()
    model.build()
    arrays = to_torch(values_of(model))
    arrays |= {
        name: np.array([1.0], "float32") for name in ("similarity_weight", "similarity_bias")
    }
    write_encoder(tmp_path / "encoder.pt", EncoderFile(1, arrays))
    embed(folder, tmp_path / "encoder.pt")
    assert "6 embeddings written, 0 were there, 1 refused" in capsys.readouterr().out
    made = np.load(folder / "embeds" / "embed-3.npy")
    assert made.shape == (256,) and made.dtype == np.float32
    embed(folder, tmp_path / "encoder.pt")
    assert "0 embeddings written, 6 were there, 1 refused" in capsys.readouterr().out
    # Another encoder's are made anew; a folder with RTVC's file will do.
    other = tmp_path / "other" / "encoder.pt"
    other.parent.mkdir()
    arrays["similarity_weight"] *= 2
    arrays["linear.bias"] = arrays["linear.bias"] + 0.5
    write_encoder(other, EncoderFile(1, arrays))
    embed(folder, other.parent)
    assert "6 embeddings written, 0 were there, 1 refused" in capsys.readouterr().out
    assert np.abs(np.load(folder / "embeds" / "embed-3.npy") - made).max() > 1e-3
    (tmp_path / "bad.pt").write_bytes(b"x")
    with pytest.raises(WeightsError):
        embed(folder, tmp_path / "bad.pt")
    with pytest.raises(DataError, match="cannot read the table"):
        embed(tmp_path / "nowhere", tmp_path / "encoder.pt")
