"""Write the golden twin of the text side: ``python -m tests.golden.make_text``.

Needs ``coqui-tts``, ``pypinyin``, ``cutlet`` and ``unidic-lite``. The vocabulary is
learnt here from the cleaned sentences; texts and ids are what Coqui makes of them.
"""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

COMMAND = "python -m tests.golden.make_text"
TARGET = Path(__file__).with_name("text.json")
SENTENCES = Path(__file__).with_name("text_sentences.txt")
PACKAGES = ("coqui-tts", "num2words", "pypinyin", "cutlet", "unidic-lite", "hangul-romanize")
SPECIAL = ["[STOP]", "[UNK]", "[SPACE]", "[START]"]


def read_sentences() -> dict[str, list[str]]:
    """Sentences by language."""
    found: dict[str, list[str]] = {}
    for line in SENTENCES.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = []
        elif line and not line.startswith("# "):
            list(found.values())[-1].append(line)
    return found


def make_vocabulary(texts: list[str], languages: list[str]) -> str:
    """A byte-pair vocabulary in the form of XTTS's ``vocab.json``."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [*SPECIAL, *(f"[{language}]" for language in languages)]
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def main() -> None:
    sentences = read_sentences()
    cleaner = VoiceBpeTokenizer()
    cleaned = {
        language: [cleaner.preprocess_text(line, language.split("-")[0]) for line in lines]
        for language, lines in sentences.items()
    }
    texts = [text for lines in cleaned.values() for text in lines]
    vocabulary = make_vocabulary(texts, list(sentences))
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(vocabulary)
        file.flush()
        coqui = VoiceBpeTokenizer(file.name)
    rows = {
        language: [
            [line, text, coqui.encode(line, language)]
            for line, text in zip(lines, cleaned[language], strict=True)
        ]
        for language, lines in sentences.items()
    }
    golden = {
        "command": COMMAND,
        "versions": {name: version(name) for name in PACKAGES},
        "vocabulary": json.loads(vocabulary),
        "rows": rows,
    }
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    TARGET.write_text(text.replace("]],", "]],\n"), encoding="utf-8")
    print(TARGET, TARGET.stat().st_size)


if __name__ == "__main__":
    main()
