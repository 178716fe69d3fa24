"""The program that trains a vocoder."""

import pytest

from myxtts.errors import ConfigError
from tests.vocoder_data import make_vocoder_data
from tools.sv2tts.vocoder_train import EPOCHS, main, parser, resolve

SIZES = (
    "--bits 6 --feat-dims 5 --rnn-dims 16 --fc-dims 16 --compute-dims 8 --res-out-dims 8 "
    "--res-blocks 1 --pad 1 --upsample-factors 2,5 --vocoder-batch-size 4 --heard 0"
)


def args(tmp_path, *more: str):
    own = ["run", str(tmp_path), "-m", str(tmp_path / "models"), *SIZES.split(), *more]
    return parser().parse_args(own)


def test_options_of_the_original_and_their_defaults(tmp_path):
    config = resolve(args(tmp_path))
    assert config.data.train_data == str(tmp_path / "SV2TTS" / "synthesizer")
    assert config.data.vocoder_dir == str(tmp_path / "SV2TTS" / "vocoder")
    assert (config.training.validate_every, config.training.backup_every) == (1000, 25_000)
    assert (config.training.epochs, config.data.ground_truth) == (EPOCHS, False)
    assert config.training.output_dir == str(tmp_path / "models" / "run")
    named = ["--syn_dir", "a", "--voc_dir", "b", "-g", "-s", "7", "-b", "14"]
    config = resolve(args(tmp_path, *named, "--vocoder-steps", "5"))
    data = config.data
    assert (data.train_data, data.vocoder_dir, data.ground_truth) == ("a", "b", True)
    assert (config.training.checkpoint_every, config.training.backup_every) == (7, 14)
    assert (config.training.epochs, config.training.vocoder.steps) == (0, 5)
    with pytest.raises(ConfigError):
        resolve(args(tmp_path, "-s", "0"))


@pytest.mark.slow
def test_a_run_is_gone_on_with_or_begun_anew(tmp_path, capsys):
    make_vocoder_data(tmp_path / "SV2TTS")
    main(args(tmp_path, "-s", "2", "--vocoder-steps", "2"))
    run_dir = tmp_path / "models" / "run"
    assert capsys.readouterr().out.strip() == str(run_dir / "preset")
    config = resolve(args(tmp_path, "--vocoder-steps", "4"))
    assert (config.training.resume, config.training.vocoder.steps) == (True, 4)
    main(args(tmp_path, "-s", "2", "--vocoder-steps", "4", "--json"))
    assert '"vocoder": 4' in capsys.readouterr().out
    main(args(tmp_path, "-s", "2", "--vocoder-steps", "2", "-f", "--json"))
    assert '"vocoder": 2' in capsys.readouterr().out
    assert (tmp_path / "models" / "run.replaced-1" / "preset").is_dir()


def test_a_file_of_the_original_is_gone_on_with(tmp_path):
    (tmp_path / "models" / "run").mkdir(parents=True)
    file = tmp_path / "models" / "run" / "vocoder.pt"
    file.touch()
    assert resolve(args(tmp_path)).training.init_from == str(file)
    assert resolve(args(tmp_path, "-f")).training.init_from is None
