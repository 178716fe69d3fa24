"""Texts, speakers, speech and checks of ``tools/make_voice_corpus.py``."""
