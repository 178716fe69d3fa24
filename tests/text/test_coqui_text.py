"""All seventeen languages are read as Coqui's XTTS tokenizer reads them: live, golden, twisted."""

import dataclasses
import importlib.metadata
import itertools
import json
import random
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from myxtts.text import cleaners
from myxtts.text.languages import LANGUAGES
from myxtts.text.tokenizer import VoiceBpeTokenizer

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "text.json").read_text(encoding="utf-8")
)
ROWS = GOLDEN["rows"]
READERS = {"zh-cn": ["pypinyin"], "ja": ["cutlet", "unidic-lite"]}
READERS["ko"] = ["num2words", "hangul-romanize"]
MODULES = {"zh-cn": "pypinyin", "ja": "cutlet", "ko": "hangul_romanize"}
# No table's entry can be missed there: the Chinese reader takes most signs as punctuation.
UNREACHABLE = {("zh", sign) for sign in "&@%#$"}
# Pieces of texts for the live comparison, in any order and number.
_JOINED = (
    "$20|20€|£3.50|$1,234.56|1.234,56€|1.5|12,5|100,000|1.000.000|1 000|12.05.2024|3/4|1st|2.|3º|"
    "21|0|007|&|@|%|#|°|£|$|…|-5|1:30|Dr.|St.|a|😀|٣|½|B2B|10%|36.6°|x@y.z|—|2024年5月3日|5元3角|"
    "13812345678|010-12345678|2个|2222|２|1-й|3번째|5adik|hello|Ça|İ|你好|안녕|नमस्ते|г-н|١"
)
PIECES = _JOINED.split("|")


@pytest.fixture(scope="module")
def tokenizer():
    return VoiceBpeTokenizer(Tokenizer.from_str(json.dumps(GOLDEN["vocabulary"])))


@pytest.fixture(scope="module")
def coqui(tokenizer, tmp_path_factory):
    module = pytest.importorskip(
        "TTS.tts.layers.xtts.tokenizer", reason="coqui-tts is not installed (make reference)"
    )
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.json"
    tokenizer.save(path)
    return module.VoiceBpeTokenizer(path)


def need_readers(language):
    """Skip where what reads ``language`` is missing or of another version than the golden's."""
    for package in READERS.get(language, ["num2words"]):
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed (pip install {package})")
        if found != GOLDEN["versions"][package]:
            pytest.skip(f"the golden texts are of another version of {package} than {found}")


def need_module(language):
    """Skip where the library that reads ``language`` is missing, whatever its version."""
    module = MODULES.get(language, "num2words")
    pytest.importorskip(module, reason=f"{module} is not installed, which reads {language}")


def agrees(language):
    """Whether every golden text of ``language`` comes out as Coqui's."""
    return all(
        cleaners.clean_text(text, language) == cleaned for text, cleaned, _ in ROWS[language]
    )


def test_every_language_has_twenty_sentences():
    assert len(ROWS) == 17
    assert {language.split("-")[0] for language in ROWS} == set(LANGUAGES)
    assert min(len(rows) for rows in ROWS.values()) >= 20


@pytest.mark.parametrize("language", ROWS)
def test_golden_texts_and_ids_are_coquis(tokenizer, language):
    need_readers(language)
    for text, cleaned, ids in ROWS[language]:
        assert tokenizer.clean(text, language) == cleaned
        assert tokenizer.encode(text, language) == ids


@pytest.mark.parametrize("language", ROWS)
def test_live_texts_and_ids_are_coquis(tokenizer, coqui, language):
    need_module(language)
    for text, _, _ in ROWS[language]:
        assert tokenizer.clean(text, language) == coqui.preprocess_text(
            text, language.split("-")[0]
        )
        assert tokenizer.encode(text, language) == coqui.encode(text, language)


@pytest.mark.parametrize("language", ROWS)
def test_wherever_coqui_does_not_raise_shuffled_pieces_read_alike(coqui, language):
    need_module(language)
    rng = random.Random(language)
    shorts = [f"{short}." for short in LANGUAGES[language.split("-")[0]].abbreviations]
    # Coqui reads no Hindi number.
    pieces = [piece for piece in PIECES if language != "hi" or not re.search("[0-9]", piece)]
    compared = 0
    for _ in range(150):
        text = rng.choice(["", " "]).join(rng.choices(pieces + shorts, k=rng.randint(1, 6)))
        ours = cleaners.clean_text(text, language)
        try:
            theirs = coqui.preprocess_text(text, language.split("-")[0])
        except Exception:
            continue
        compared += 1
        assert ours == theirs, text
    assert compared >= 100


@pytest.mark.parametrize("language", [name for name in LANGUAGES if LANGUAGES[name].symbols])
def test_every_entry_of_the_tables_is_needed(language, monkeypatch):
    code = "zh-cn" if language == "zh" else language
    need_readers(code)
    uncached = cleaners._abbreviation_patterns.__wrapped__
    monkeypatch.setattr(cleaners, "_abbreviation_patterns", uncached)
    table = LANGUAGES[language]
    for name, entry in itertools.chain(
        (("abbreviations", short) for short in table.abbreviations),
        (("symbols", sign) for sign in table.symbols if (language, sign) not in UNREACHABLE),
    ):
        kept = {key: value for key, value in getattr(table, name).items() if key != entry}
        monkeypatch.setitem(LANGUAGES, language, dataclasses.replace(table, **{name: kept}))
        assert not agrees(code), f"{entry!r} could be dropped"


@pytest.mark.parametrize("field", ["ordinal", "thousands", "cents_join"])
def test_another_reading_of_numbers_is_noticed(field, monkeypatch):
    need_readers("es")
    twisted = {"ordinal": None, "thousands": ",", "cents_join": ", "}[field]
    monkeypatch.setitem(LANGUAGES, "es", dataclasses.replace(LANGUAGES["es"], **{field: twisted}))
    assert not agrees("es")


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_another_order_of_the_steps_is_noticed(order, monkeypatch):
    need_readers("en")
    steps = tuple(cleaners.STEPS[place] for place in order)
    monkeypatch.setattr(cleaners, "STEPS", steps)
    assert not all(agrees(language) for language in ("en", "de", "it", "hu", "cs"))


def test_lower_case_after_the_numbers_is_noticed(monkeypatch):
    need_readers("de")
    last = (*cleaners.STEPS, lambda text, language: text.lower())
    monkeypatch.setattr(cleaners, "STEPS", last)
    assert not agrees("de")
