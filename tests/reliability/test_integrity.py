"""What is written says what it holds: damage and exchange are refused, or made good, aloud."""

import dataclasses
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from myxtts.config import XTTSConfig
from myxtts.data.formats import Utterance
from myxtts.data.store import Clip, Feature, FeatureStore
from myxtts.digests import check_beside, check_sums, hashed_beside, write_sums
from myxtts.errors import CheckpointError, DataError, MyXTTSError, WeightsError
from myxtts.inference.voice import Voice
from myxtts.presets.folder import load, read_config, save
from myxtts.presets.record import Record
from myxtts.settings import Settings, setting
from myxtts.training.checkpoints import CheckpointFolder, Progress
from myxtts.training.start import keep_config, prepare_folder
from myxtts.weights import speaker_encoders
from myxtts.weights.speaker_encoders import load_pretrained_speaker_encoder

SIZES = SimpleNamespace(
    conditioning=SimpleNamespace(num_latents=4),
    gpt=SimpleNamespace(model_dim=8),
    speaker=SimpleNamespace(embedding_dim=6),
)
MODEL = SimpleNamespace(fingerprint="ab" * 32, config=SimpleNamespace(model=SIZES))


def flips(content: bytes, count: int):
    """Copies of ``content`` with one bit changed, half of them in its first kilobyte."""
    draw = random.Random(5)
    for number in range(count):
        changed = bytearray(content)
        size = min(len(changed), 1000) if number % 2 else len(changed)
        changed[draw.randrange(size)] ^= 1 << draw.randrange(8)
        yield bytes(changed)


def a_voice(seed: int) -> Voice:
    draw = np.random.default_rng(seed)
    latents = draw.normal(size=(1, 4, 8)).astype("float32")
    return Voice(latents, draw.normal(size=(1, 6)).astype("float32"), MODEL.fingerprint)


def test_no_changed_bit_changes_a_voice(tmp_path):
    path, voice = tmp_path / "anna.safetensors", a_voice(0)
    voice.save(path)
    refused = 0
    for content in flips(path.read_bytes(), 200):
        path.write_bytes(content)
        try:
            again = Voice.load(path, MODEL)
        except CheckpointError as error:
            refused += "\n" not in str(error)
            continue
        np.testing.assert_array_equal(again.latents, voice.latents)
        np.testing.assert_array_equal(again.speaker_embedding, voice.speaker_embedding)
    assert refused > 180


def test_other_tensors_under_a_voices_name_are_refused(tmp_path):
    path = tmp_path / "anna.safetensors"
    a_voice(0).save(path)
    with safe_open(path, framework="numpy") as file:
        facts = file.metadata()
    save_file({**load_file(path), "latents": a_voice(1).latents}, path, facts)
    with pytest.raises(CheckpointError, match=r"anna\.safetensors is damaged"):
        Voice.load(path, MODEL)


def test_a_voice_of_before_loads_and_is_named(tmp_path, caplog):
    path, voice = tmp_path / "anna.safetensors", a_voice(0)
    facts = {"kind": "myxtts voice 1", "model": voice.model}
    facts |= {"encoder_provenance": "null", "references": "[]"}
    arrays = {"latents": voice.latents, "speaker_embedding": voice.speaker_embedding}
    save_file(arrays, path, facts)
    np.testing.assert_array_equal(Voice.load(path, MODEL).latents, voice.latents)
    assert "anna.safetensors carries no hash" in caplog.text


@pytest.mark.parametrize("key", ["latents", "speaker_embedding"])
@pytest.mark.parametrize("config", [SIZES, None])
def test_a_voice_without_a_number_is_refused(tmp_path, key, config):
    path, voice = tmp_path / "anna.safetensors", a_voice(0)
    facts = {"kind": "myxtts voice 1", "model": voice.model}
    facts |= {"encoder_provenance": "null", "references": "[]"}
    arrays = {"latents": voice.latents, "speaker_embedding": voice.speaker_embedding}
    save_file({**arrays, key: arrays[key][..., :0].copy()}, path, facts)
    model = SimpleNamespace(fingerprint=voice.model)
    if config is not None:
        model.config = SimpleNamespace(model=config)
    with pytest.raises(CheckpointError, match=r"anna\.safetensors has .* of (float32|no numb)"):
        Voice.load(path, model)


class Number:
    """A variable without a framework behind it."""

    def __init__(self, value=0.0):
        self.value = np.full(50, value, "float32")
        self.shape = self.value.shape

    def assign(self, value):
        self.value = np.array(value)

    def __array__(self, dtype=None, copy=None):
        return self.value


def checkpoints(folder: Path, value: float = 0.0) -> CheckpointFolder:
    task = SimpleNamespace(
        variables=[Number(value)], optimizers=[SimpleNamespace(variables=[Number(-value)])]
    )
    return CheckpointFolder(folder, task, keep=3)


def two_steps(folder: Path) -> None:
    for step in (1, 2):
        history = [{"stage": "gpt", "kind": "train", "step": n, "loss": 1 / n} for n in (1, step)]
        checkpoints(folder, step).save(Progress(step, 1.0, 1), history)


FILES = ("task.safetensors", "optimizer-0.safetensors", "state.json")


@pytest.mark.parametrize("file", FILES)
def test_a_changed_bit_in_a_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, file):
    two_steps(tmp_path)
    path = tmp_path / "step-00000002" / file
    content = path.read_bytes()
    for changed in flips(content, 40):
        path.write_bytes(changed)
        caplog.clear()
        found = checkpoints(tmp_path)
        progress = found.restore()
        if progress.step == 2:
            # Only the word for the seal itself may be unread, and is missed.
            assert "carries no hash" in caplog.text
            continue
        assert progress == Progress(1, 1.0, 1)
        assert found.task.variables[0].value.tolist() == [1.0] * 50
        assert found.task.optimizers[0].variables[0].value.tolist() == [-1.0] * 50
        assert [record["step"] for record in found.history] == [1, 1]
        assert file in caplog.text
        assert "Trying the checkpoint before it" in caplog.text
    shutil.rmtree(tmp_path / "step-00000001")
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=file):
        checkpoints(tmp_path).restore()


def test_a_checkpoint_under_another_steps_name_is_refused(tmp_path, caplog):
    two_steps(tmp_path)
    shutil.copytree(tmp_path / "step-00000001", tmp_path / "step-00000009")
    assert checkpoints(tmp_path).restore().step == 2
    assert "it is of step 1" in caplog.text


@pytest.mark.parametrize("text", ["", "5", "null", "[1]", '"a"', '{"step": [1]}', "{", "[" * 9999])
def test_a_damaged_pointer_to_the_best_is_made_anew(tmp_path, text):
    two_steps(tmp_path)
    (tmp_path / "best.json").write_text(text)
    assert checkpoints(tmp_path).best_step() is None
    assert checkpoints(tmp_path).restore() == Progress(2, 1.0, 1)
    assert checkpoints(tmp_path).best_step() == 1


def test_a_checkpoint_of_before_loads_and_is_named(tmp_path, caplog):
    two_steps(tmp_path)
    state = {"step": 2, "best": 1.0, "best_step": 1, "stalled": 0}
    (tmp_path / "step-00000002" / "state.json").write_text(json.dumps(state))
    found = checkpoints(tmp_path)
    assert found.restore() == Progress(2, 1.0, 1)
    assert found.history is None
    assert "carries no hash" in caplog.text


def test_an_unreadable_checkpoint_is_not_called_damaged(tmp_path, monkeypatch):
    two_steps(tmp_path)
    read = Path.open

    def failing(self, *arguments, **options):
        if self.name == "task.safetensors":
            raise OSError(5, "Input/output error")
        return read(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(CheckpointError, match="cannot read .*00002.*Input/output error"):
        checkpoints(tmp_path).restore()
    monkeypatch.undo()
    assert checkpoints(tmp_path).restore().step == 2


@dataclass(frozen=True)
class ToyConfig(Settings, section="toy"):
    shape: str = setting("round", "form")
    frequency: float = setting(1.0, "how often")


@pytest.fixture
def preset(tmp_path) -> Path:
    writers = {"words.txt": lambda path: path.write_text("hello there")}
    record = Record("toy", provenance="a project@sha256:" + "a" * 64)
    weights = {"toy.safetensors": {"kernel": Number(3.0)}}
    save(tmp_path / "toy", record, {"shape": "square", "frequency": 2.5}, weights, writers)
    return tmp_path / "toy"


def read_toy(folder: Path) -> tuple:
    config, kernel = read_config(folder, "toy", ToyConfig), Number()
    record = load(folder, "toy", {"toy.safetensors": {"kernel": kernel}})
    words = (folder / "words.txt").read_text()
    return config, record.provenance, words, kernel.value.tolist()


@pytest.mark.parametrize("file", ["config.yaml", "words.txt", "manifest.json", "toy.safetensors"])
def test_no_changed_bit_changes_a_preset(preset, caplog, file):
    right, path = read_toy(preset), preset / file
    assert caplog.text == ""
    assert right[0] == ToyConfig("square", 2.5)
    for content in flips(path.read_bytes(), 60):
        path.write_bytes(content)
        try:
            assert read_toy(preset) == right
            assert "carries no hash" in caplog.text
        except MyXTTSError as error:
            assert str(preset) in str(error)
            assert "\n" not in str(error) or isinstance(error.__cause__, yaml.YAMLError)


def test_random_weights_do_not_inherit_a_provenance(preset):
    save_file({"kernel": Number(7.0).value}, preset / "toy.safetensors")
    with pytest.raises(CheckpointError, match=r"toy\.safetensors is damaged"):
        read_toy(preset)


def test_a_preset_of_before_loads_and_is_named(preset, caplog):
    right = read_toy(preset)
    manifest = json.loads((preset / "manifest.json").read_text())
    del manifest["seal"], manifest["files"]
    (preset / "manifest.json").write_text(json.dumps(manifest))
    assert read_toy(preset) == right
    assert caplog.text.count("carries no hash") == 1


class Encoder:
    """Stands for a speaker encoder: its weights and where they come from."""

    encoder_type, built, encoder = "toy", True, None

    def __init__(self):
        self.kernel = Number()

    def variables_by_name(self) -> dict:
        return {"kernel": self.kernel}


@pytest.fixture
def encoders(tmp_path, monkeypatch):
    """Loads the toy encoder's weights by way of a cache; counts conversions."""
    file, converted = tmp_path / "pretrained.pt", []
    file.write_bytes(b"what was published")
    digest = speaker_encoders.file_sha256(file)

    def read(path):
        converted.append(path)
        return {"kernel": Number(4.0).value}

    def load_arrays(encoder, arrays):
        current.kernel.assign(arrays["kernel"])

    source = speaker_encoders.Source(
        (file.name,), "MIT", read, load_arrays, "get it", published={digest: "toy==1"}
    )
    monkeypatch.setitem(speaker_encoders.SOURCES, "toy", source)
    monkeypatch.setenv("MYXTTS_CACHE", str(tmp_path / "cache"))
    current = None

    def loaded(path=file) -> Encoder:
        nonlocal current
        current = Encoder()
        load_pretrained_speaker_encoder(current, path)
        return current

    return SimpleNamespace(load=loaded, file=file, digest=digest, converted=converted)


@pytest.mark.parametrize("damage", ["random", "bit", "of another source"])
def test_a_cache_of_converted_weights_is_not_trusted_by_its_name(
    encoders, tmp_path, damage, caplog
):
    encoders.load()
    cached = next((tmp_path / "cache").glob("*.safetensors"))
    if damage == "random":
        save_file({"kernel": np.random.default_rng(0).normal(size=50).astype("float32")}, cached)
    elif damage == "bit":
        content = bytearray(cached.read_bytes())
        content[-1] ^= 0x40
        cached.write_bytes(content)
    else:
        facts = cached.with_suffix(".json")
        facts.write_text(facts.read_text().replace(encoders.digest, "0" * 64))
    again = encoders.load()
    assert again.kernel.value.tolist() == [4.0] * 50
    assert again.provenance == f"toy==1@sha256:{encoders.digest}"
    assert "Converting the weights again" in caplog.text
    encoders.load()
    assert len(encoders.converted) == 2


def test_a_cache_of_before_is_made_anew_or_not_called_pretrained(encoders, tmp_path, monkeypatch):
    encoders.load()
    cached = next((tmp_path / "cache").glob("*.safetensors"))
    facts = json.loads(cached.with_suffix(".json").read_text())
    del facts["cached"], facts["seal"]
    old = json.dumps(facts)
    cached.with_suffix(".json").write_text(old)
    assert encoders.load().provenance.startswith("toy==1@")
    assert len(encoders.converted) == 2

    def no_torch(path):
        raise WeightsError("reading it needs torch")

    cached.with_suffix(".json").write_text(old)
    source = speaker_encoders.SOURCES["toy"]
    changed = dataclasses.replace(source, read=no_torch)
    monkeypatch.setitem(speaker_encoders.SOURCES, "toy", changed)
    unsure = encoders.load()
    assert unsure.kernel.value.tolist() == [4.0] * 50
    assert unsure.provenance.startswith("local:")


def test_a_fetched_file_that_was_not_published_counts_as_ones_own(encoders, monkeypatch, caplog):
    other = encoders.file.with_name("other.pt")
    other.write_bytes(b"a damaged download")
    monkeypatch.setattr(speaker_encoders, "find", lambda *a: (other, "a/repository"))
    assert encoders.load().provenance.startswith("local:other.pt@sha256:")
    assert "none of the files that were published" in caplog.text


@dataclass(frozen=True)
class Everything:
    """A screen that lets all through."""

    def __call__(self, audio, rate):
        return audio


@pytest.fixture
def cache(tmp_path):
    def level(clip):
        return np.arange(300, dtype="int16") + np.int16(1000 * clip.at(8000).max())

    for name, loudness in (("a", 0.25), ("b", 0.5)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(4000, loudness), 8000, subtype="FLOAT")
    store = FeatureStore(Everything(), {"level": Feature(level, {})}, tmp_path / "cache")
    items = {name: Utterance(tmp_path / f"{name}.wav", "x", "s", "en") for name in "ab"}
    paths = {
        name: store.folders["level"] / f"{Clip(item.path, store).key}.npz"
        for name, item in items.items()
    }
    read = {name: store.load(item)["level"] for name, item in items.items()}
    assert [read[name][0] for name in "ab"] == [250, 500]
    return SimpleNamespace(get=lambda n: store.load(items[n])["level"], paths=paths, right=read)


def test_no_changed_bit_changes_a_cached_feature(cache):
    path = cache.paths["a"]
    for content in flips(path.read_bytes(), 150):
        path.write_bytes(content)
        np.testing.assert_array_equal(cache.get("a"), cache.right["a"])


def test_a_header_that_promises_less_is_noticed(cache, caplog):
    path = cache.paths["a"]
    path.write_bytes(path.read_bytes().replace(b"(300,)", b"(200,)"))
    assert len(cache.get("a")) == 300
    assert "computing it again" in caplog.text


def test_another_recordings_feature_is_noticed(cache, caplog):
    shutil.copy(cache.paths["b"], cache.paths["a"])
    assert cache.get("a")[0] == 250
    assert "is damaged" in caplog.text


def test_a_cached_feature_of_before_is_read(cache, monkeypatch):
    np.savez(cache.paths["a"], cache.right["a"] + 1)
    assert cache.get("a")[0] == 251


@pytest.mark.parametrize("content", [b"", b'{"refused": "too short", "seal": "0"}', b"{"])
def test_a_refusal_without_its_bytes_refuses_nothing(cache, content):
    cache.paths["a"].unlink()
    cache.paths["a"].with_suffix(".refused").write_bytes(content)
    assert cache.get("a")[0] == 250


def test_a_runs_configuration_and_vocabulary_are_compared(tmp_path):
    changes = {"data": {"train_data": "x"}, "training": {"output_dir": str(tmp_path)}}
    config = XTTSConfig().merged(changes)
    keep_config(config, tmp_path)
    assert prepare_folder(config) == tmp_path
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(CheckpointError, match=r"config\.yaml is damaged or was changed"):
        prepare_folder(config)
    with hashed_beside(tmp_path / "words"):
        (tmp_path / "words").write_text("one")
    check_beside(tmp_path / "words")
    (tmp_path / "words").write_text("two")
    with pytest.raises(CheckpointError, match="words is damaged"):
        check_beside(tmp_path / "words")


def test_a_folders_sums_name_what_was_exchanged(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    write_sums(tmp_path, "ab")
    (tmp_path / "c").write_text("c")
    assert check_sums(tmp_path, "abc") == ["c"]
    (tmp_path / "b").write_text("a")
    with pytest.raises(DataError, match="b is damaged or was changed"):
        check_sums(tmp_path, "abc", DataError)
