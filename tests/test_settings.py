"""The machine of settings, on a toy: types, ranges, nearest keys, lines of files, flags."""

import argparse
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from myxtts.errors import ConfigError
from myxtts.flags import add_config_flags, config_from_flags, given_flags, refuse_idle
from myxtts.settings import Settings, read_yaml, setting, to_dict


@dataclass(frozen=True)
class Tone(Settings, section="song.tone"):
    """Two numbers that depend on each other."""

    pitch: float = setting(440.0, "pitch of the tone", "Hz", above=0)
    highest: float = setting(8000.0, "highest pitch", "Hz")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.pitch <= self.highest, "pitch", f"at most highest ({self.highest})")


@dataclass(frozen=True)
class Song(Settings, section="song"):
    """A field of every kind."""

    tone: Tone = Tone()
    title: str = setting("", "what it is called", flag="name")
    words: tuple[str, ...] = setting((), "what is sung")
    beats: tuple[int, ...] = setting((3, 4), "beats of the bars", at_least=1)
    seconds: float = setting(2.0, "how long, 100 % of it", "seconds", at_least=0, below=60)
    level: float = setting(-20.0, "loudness", "dBFS", at_least=-60, at_most=0)
    share: float = setting(0.5, "of the band", above=0, at_most=1)
    singers: int | None = setting(None, "voices", at_least=1)
    loud: bool = setting(False, "sing loudly")
    mode: Literal["major", "minor"] = setting("major", "which scale")


WRONG = [
    ({"sekonds": 1}, "unknown key 'song.sekonds'; did you mean 'seconds'"),
    ({"tone": {"x": 1}}, "unknown key 'song.tone.x'; choose one of 'pitch', 'highest'"),
    ({3: 1}, "unknown key 'song.3'"),
    ({"tone": 3}, "song.tone must be a mapping, not 3"),
    ({"title": 3}, "song.title must be of type str, not 3"),
    ({"title": None}, "song.title must be of type str, not None"),
    ({"words": "la"}, "song.words must be a list, not 'la'"),
    ({"words": [1]}, "song.words must be of type str, not 1"),
    ({"beats": []}, r"song.beats must be a non-empty list, not \[\]"),
    ({"beats": [3, 0]}, "song.beats must be at least 1, not 0"),
    ({"seconds": "2"}, "song.seconds must be of type float, not '2'"),
    ({"seconds": True}, "song.seconds must be of type float, not True"),
    ({"seconds": 60}, "song.seconds must be at least 0 and below 60, not 60"),
    ({"level": 1}, "song.level must be from -60 to 0, not 1"),
    ({"level": float("nan")}, "song.level must be from -60 to 0, not nan"),
    ({"share": 0}, r"song.share must be in \(0, 1\], not 0"),
    ({"singers": 1.5}, "song.singers must be of type int, not 1.5"),
    ({"singers": 0}, "song.singers must be at least 1, not 0"),
    ({"loud": 1}, "song.loud must be of type bool, not 1"),
    ({"mode": "minr"}, "song.mode is 'minr'; did you mean 'minor'"),
    ({"tone": {"pitch": float("inf")}}, "song.tone.pitch must be above 0 and finite"),
    ({"tone": {"pitch": 9000}}, r"song.tone.pitch must be at most highest \(8000.0\), not 9000.0"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_a_wrong_value_is_named(values, message):
    with pytest.raises(ConfigError, match=f"^here: {message}.*\\.$"):
        Song().merged(values, source="here")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Song(seconds=-1), "song.seconds must be at least 0 and below 60, not -1.0"),
        (lambda: Song(mode="none"), "song.mode is 'none'"),
        (lambda: Song(tone={"pitch": 3}), "song.tone must be of type Tone"),
        (lambda: Tone(pitch=9000), "song.tone.pitch must be at most highest"),
    ],
)
def test_no_way_leads_round_the_checks(make, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        make()


def test_values_get_the_type_of_their_field():
    song = Song(words=["la", "lo"], seconds=3, singers=np.int64(2), level=np.float32(-6))
    assert song.words == ("la", "lo")
    assert [type(value) for value in (song.seconds, song.singers, song.level)] == [
        float,
        int,
        float,
    ]
    assert Song().merged({"tone": {"pitch": 8}, "singers": None}).tone == Tone(pitch=8.0)


def test_an_unknown_name_of_a_range_is_refused():
    with pytest.raises(TypeError):
        setting(1, "how many", atleast=0)


def test_settings_survive_yaml(tmp_path):
    song = Song(words=("la",), singers=3, tone=Tone(pitch=220.0))
    song.to_yaml(tmp_path / "song.yaml")
    assert Song.from_yaml(tmp_path / "song.yaml") == song
    assert to_dict(song)["words"] == ["la"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loud: true\n\nsekonds: 1\n", "line 3: unknown key 'song.sekonds'; did you mean"),
        ("tone:\n  # of the tone\n  pich: 3\n", "line 3: unknown key 'song.tone.pich'"),
        ("loud: true\ntone: 3\n", "line 2: song.tone must be a mapping"),
        ("tone: {highest: 9,\n pitch: -1}", "line 2: song.tone.pitch must be above 0 and finite"),
        ("beats:\n- 1\n- 0\n", "line 1: song.beats must be at least 1"),
        ("a: &t {pitch: 1}\n", "line 1: unknown key 'song.a'"),
        (
            "loud: true\ntone:\n  pitch: 2\n  highest: 1\n",
            "from line 3: song.tone.pitch must be at most",
        ),
        ("loud: true\nmode: [\n", "line 3: not valid YAML"),
        ("? [1]\n: 2\n", "line 1: not valid YAML"),
        ("loud: &a [*a]\n", "line 1: not valid YAML"),
        ("loud: !!python/object/apply:os.getcwd []\n", "line 1: not valid YAML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "song.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Song.from_yaml(tmp_path / "song.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'song.yaml'}, {message}")


def test_merge_keys_of_yaml_are_read(tmp_path):
    (tmp_path / "two.yaml").write_text("a: &a {x: 1}\nb:\n  <<: *a\n  y: 2\n")
    assert read_yaml(tmp_path / "two.yaml") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


def parsed(*words: str, **options) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_config_flags(parser, Song, **options)
    return parser.parse_args(words)


def test_flags_of_every_kind_reach_their_fields():
    words = "--pitch 8 --name Hum --words la lo --beats 2,3 --seconds 4 --loud --mode minor"
    assert config_from_flags(parsed(*words.split(), "--singers=2"), Song()) == Song(
        tone=Tone(pitch=8.0),
        title="Hum",
        words=("la", "lo"),
        beats=(2, 3),
        seconds=4.0,
        singers=2,
        loud=True,
        mode="minor",
    )


def test_only_flags_that_were_given_count():
    args = parsed("--pitch", "8", "--no-loud")
    assert given_flags(args) == {"tone": {"pitch": 8.0}, "loud": False}
    assert config_from_flags(args, Song(loud=True, seconds=9)).seconds == 9


@pytest.mark.parametrize("idle", ["tone.pitch", "tone."])
def test_flags_that_would_do_nothing_are_refused(idle):
    refuse_idle(parsed("--seconds", "8"), {idle: "is for singers."})
    with pytest.raises(ConfigError, match="^--pitch is for singers"):
        refuse_idle(parsed("--pitch=8"), {idle: "is for singers."})


def test_named_fields_alone_get_flags():
    assert vars(parsed("--seconds=1", names=("seconds",))) == {"config:seconds": 1.0}
    with pytest.raises(SystemExit):
        parsed("--pitch=1", names=("seconds",))


def test_help_shows_units_and_defaults(capsys):
    with pytest.raises(SystemExit):
        parsed("--help", title="the song", defaults=True)
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "the song:",
        "tone (fields of the YAML's 'tone'):",
        "--pitch Hz pitch of the tone (default: 440)",
        "--seconds SECONDS how long, 100 % of it (default: 2)",
        "--level dBFS loudness (default: -20)",
        "--singers N voices --loud",
        "--words TEXT [TEXT ...] what is sung",
        "--beats N,N,...",
        "--mode {major,minor} which scale (default: major)",
    ):
        assert part in text
