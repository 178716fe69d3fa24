"""The page in a real browser: type, speak, hear, upload, record, blend, copy; what is refused.

They want a Chromium of the system (``apt-get install chromium``) and ``pip install playwright``;
axe-core comes from the registry of npm, or from the file that AXE_CORE names.
"""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import pytest
import soundfile

from myxtts.server.keys import read_keys
from tests.server.stand_in import CHUNK, HummingEngine, served, settings
from tests.server.test_voices import recording

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# No sandbox within a container; a microphone that beeps.
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
AXE = "axe-core@4.10.3"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
KEY = "a key of these tests"
TEXT = "One two three four five six seven eight."
NARROW = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def slow_humming(tmp_path_factory):
    """A gateway that takes a tenth of a second for each word."""
    given = settings(tmp_path_factory.mktemp("page"), max_decode_seconds=120.0)
    with served(HummingEngine(pause=0.1), given) as (address, app):
        yield address, app


class Watched:
    """A page, what it asked for and what it complained of."""

    def __init__(self, page, address: str):
        self.page, self.hosts, self.complaints = page, set(), []
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url)[:2]))
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(address)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def text(self, name: str) -> str:
        return self.page.locator(f"#{name}").inner_text()

    def until(self, condition: str) -> None:
        # A policy without eval leaves no other way to wait in the page.
        for _ in range(600):
            if self.page.evaluate(f"() => Boolean({condition})"):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{condition}: {self.page.locator('body').inner_text()}")


@contextlib.contextmanager
def opened(browser, address: str, strict: bool = True, **options):
    """A page of its own; ``strict``: nothing may have been complained of at the end."""
    context = browser.new_context(accept_downloads=True, **options)
    try:
        watched = Watched(context.new_page(), address)
        yield watched
        own = urlsplit(address)[:2]
        assert {host for host in watched.hosts if host[0] not in ("data", "blob")} == {own}
        assert not strict or watched.complaints == []
    finally:
        context.close()


@pytest.fixture
def watched(browser, slow_humming):
    with opened(browser, slow_humming[0]) as page:
        page.until("$('model').classList.contains('ready')")
        yield page


def spoken(watched, text: str = TEXT) -> None:
    watched.page.fill("#text", text)
    watched.page.click("#speak")
    watched.until("shown && shown.done")


def downloaded(watched, folder: Path) -> bytes:
    with watched.page.expect_download() as found:
        watched.page.click("#download")
    found.value.save_as(folder / "page.wav")
    return (folder / "page.wav").read_bytes()


def samples_of(content: bytes) -> np.ndarray:
    with av.open(io.BytesIO(content)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def test_speech_is_heard_while_it_is_made(watched, tmp_path):
    watched.page.fill("#text", "word " * 100)
    watched.page.keyboard.press("Control+Enter")
    watched.until("shown && player.position() > 0")
    length, columns, done = watched.page.evaluate("() => [shown.length, shown.columns, shown.done]")
    assert 0 < length < 100 * CHUNK and columns > 0 and not done, "it is played only at the end"
    watched.until("shown.done")
    assert watched.page.evaluate("() => shown.length") == 100 * CHUNK
    assert abs(watched.page.evaluate("() => shown.columns") - 100 * CHUNK // 256) <= 1
    assert "10.0 s of speech" in watched.text("status")
    samples, rate = soundfile.read(io.BytesIO(downloaded(watched, tmp_path)))
    assert rate == 24_000 and len(samples) == 100 * CHUNK and np.abs(samples).max() > 0.2


def test_chunks_join_to_the_sample(watched):
    watched.page.fill("#text", "word " * 12)
    watched.page.click("#speak")
    watched.until("shown && shown.done")
    spans = watched.page.evaluate("() => player.spans.map((s) => [s.when, s.from, s.length])")
    if spans:
        assert all(isinstance(value, int) for span in spans for value in span)
        for (_, start, length), (_, following, _) in zip(spans, spans[1:], strict=False):
            assert start + length == following


def test_the_mel_shows_the_tone(watched):
    """The stand-in hums at 191 Hz: low bands are bright, high ones dark."""
    watched.page.evaluate("() => { $('seed').value = 0; }")
    spoken(watched, "word")
    column = watched.page.evaluate("() => Array.from(melColumn(shown.samples, 512))")
    assert int(np.argmax(column)) < 10 and max(column) > 0.6 and max(column[40:]) < 0.3


def test_a_speech_can_be_stopped_played_again_and_sought(watched):
    watched.page.fill("#text", "word " * 60)
    watched.page.click("#speak")
    watched.until("shown && shown.length > 0")
    watched.page.keyboard.press("Escape")
    watched.until("shown.done")
    assert watched.text("status") == "Stopped."
    assert watched.page.evaluate("() => shown.length") < 60 * CHUNK
    watched.page.focus("#position")
    watched.page.keyboard.press("Home")
    watched.page.click("#play")
    assert watched.text("play") == "Pause"
    watched.until("player.position() > 0")
    watched.until("!player.playing")
    assert watched.text("play") == "Play"


def test_what_was_said_is_kept_for_the_visit(watched):
    spoken(watched, "First words.")
    spoken(watched, "Second words.")
    items = watched.page.locator("#past li")
    assert items.count() == 2 and "Second" in items.nth(0).inner_text()
    items.nth(1).get_by_role("button", name="Use again").click()
    assert watched.page.input_value("#text") == "First words."
    assert watched.page.input_value("#seed") != ""


def test_a_voice_is_uploaded_blended_and_forgotten(watched, tmp_path, slow_humming):
    page, path = watched.page, tmp_path / "anna.wav"
    path.write_bytes(recording())
    page.click("#add")
    page.fill("#name", "anna")
    page.set_input_files("#file", path)
    page.check("#consent")
    page.click("#send")
    watched.until("!$('adding').open")
    assert page.input_value("#voice") == "anna"
    page.select_option("#second", "hana")
    page.focus("#weight")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert "hana 30 %" in watched.text("blend")
    spoken(watched)
    assert '"voice": "anna:0.7+hana:0.3"' in watched.text("snippet")
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#forget")
    watched.until("$('voice').options.length === 1")


def test_a_voice_is_recorded(watched):
    page = watched.page
    page.click("#add")
    page.fill("#name", "mike")
    page.click("#record")
    page.wait_for_timeout(1500)
    page.click("#record")
    watched.until("recording")
    page.check("#consent")
    page.click("#send")
    watched.until("!$('adding').open")
    assert page.input_value("#voice") == "mike"
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#forget")
    watched.until("$('voice').options.length === 1")


def test_the_copied_programs_say_the_same(watched, tmp_path):
    pytest.importorskip("openai", reason="the package openai is not installed")
    spoken(watched, 'It\'s "quoted" \\ and é.')
    expected = samples_of(downloaded(watched, tmp_path))
    curl = watched.text("snippet")
    watched.page.click("#tab-python")
    python = watched.text("snippet")
    assert "OpenAI(" in python
    programs = [[sys.executable, "-c", python]]
    programs += [["bash", "-c", curl]] if shutil.which("curl") else []
    for program in programs:
        subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, timeout=300)
        found = samples_of((tmp_path / "speech.wav").read_bytes())
        np.testing.assert_array_equal(found, expected)
        (tmp_path / "speech.wav").unlink()


def test_what_is_refused_is_told_in_a_sentence(browser, slow_humming):
    with opened(browser, slow_humming[0], strict=False) as watched:
        watched.until("$('model').classList.contains('ready')")
        spoken(watched, "...")
        assert watched.text("error") == "Nothing that can be spoken."
        spoken(watched, "Words.")
        assert not watched.page.locator("#error").is_visible()
        watched.page.click("#add")
        watched.page.fill("#name", "anna")
        file = {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no recording"}
        watched.page.set_input_files("#file", file)
        watched.page.check("#consent")
        watched.page.click("#send")
        watched.until("!$('upload-error').hidden")
        assert watched.text("upload-error").endswith(".")
        watched.page.keyboard.press("Escape")
        assert not any("Error:" in told for told in watched.complaints)


def test_a_speech_that_breaks_off_is_told(browser, tmp_path):
    given = settings(tmp_path, max_seconds=0.4)
    with (
        served(HummingEngine(pause=0.1), given) as (address, _),
        opened(browser, address, strict=False) as watched,
    ):
        watched.until("$('model').classList.contains('ready')")
        spoken(watched, "word " * 50)
        assert "took more than" in watched.text("error")
        assert 0 < watched.page.evaluate("() => shown.length") < 50 * CHUNK
        half = 'data: {"type": "speech.audio.delta", "audio": "AAAA"}\n\ndata: {"ty'
        watched.page.route("**/v1/audio/speech", lambda route: route.fulfill(body=half))
        spoken(watched)
        assert "broke before the end" in watched.text("error")
        watched.page.route("**/v1/audio/speech", lambda route: route.abort())
        spoken(watched)
        assert watched.text("error") == "The server does not answer."


def test_a_key_is_asked_for_and_kept_in_memory_only(browser, tmp_path):
    path = tmp_path / "keys"
    path.write_text(KEY)
    with (
        served(HummingEngine(), settings(tmp_path), read_keys(path)) as (address, _),
        opened(browser, address, strict=False) as watched,
    ):
        page = watched.page
        assert watched.complaints == [] and page.locator("#key").is_visible()
        page.fill("#key", "a wrong one")
        page.keyboard.press("Enter")
        watched.until("!$('error').hidden")
        assert "key" in watched.text("error")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        watched.until("$('model').classList.contains('ready')")
        assert not page.locator("#key").is_visible()
        spoken(watched)
        assert KEY not in watched.text("snippet") and "MYXTTS_KEY" in watched.text("snippet")
        kept = "() => [localStorage.length, sessionStorage.length, document.cookie, location.href]"
        assert page.evaluate(kept) == [0, 0, "", f"{address}/"]
        page.reload()
        assert page.locator("#key").is_visible() and page.input_value("#key") == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_reaches_beyond_a_narrow_screen(browser, slow_humming, scheme):
    with opened(browser, slow_humming[0], viewport=NARROW, color_scheme=scheme) as watched:
        watched.until("$('model').classList.contains('ready')")
        spoken(watched, "A long text. " * 6 + "w" * 80)
        for press in ("summary", "#tab-python", "#add"):
            watched.page.click(press)
            widths = "() => [document.documentElement.scrollWidth, innerWidth]"
            assert watched.page.evaluate(widths) == [360, 360]
        box = watched.page.locator("dialog").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360


def test_everything_is_reached_by_keyboard(watched):
    spoken(watched)
    watched.page.evaluate("() => document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        watched.page.keyboard.press("Tab")
        reached.add(watched.page.evaluate("() => document.activeElement.id"))
    wanted = {"text", "speak", "voice", "listen", "add", "second", "language", "speed", "position"}
    assert wanted | {"play", "download", "copy", "tab-curl", "theme"} <= reached


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The source of axe-core, of the file AXE_CORE or from the registry of npm."""
    if given := os.environ.get("AXE_CORE"):
        return Path(given).read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("axe")
    if not shutil.which("npm"):
        pytest.skip("axe-core is fetched with npm, which is not installed")
    try:
        subprocess.run(
            ["npm", "pack", AXE], cwd=folder, check=True, capture_output=True, timeout=90
        )
    except (subprocess.SubprocessError, OSError):
        pytest.skip("axe-core cannot be fetched from the registry of npm")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, slow_humming, axe, scheme):
    with opened(browser, slow_humming[0], color_scheme=scheme) as watched:
        watched.until("$('model').classList.contains('ready')")
        assert violations(watched.page, axe) == []
        spoken(watched)
        watched.page.select_option("#second", "hana")
        watched.page.click("summary")
        assert violations(watched.page, axe) == []
        watched.page.click("#add")
        assert violations(watched.page, axe) == []


def violations(page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate(f"() => axe.run({{runOnly: {RULES}}})")
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found["violations"]]
