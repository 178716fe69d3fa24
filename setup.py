"""Packaging of MyXTTS; the core needs no torch."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def requirements() -> list[str]:
    """Lines of requirements.txt that name a package."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


# Optional parts; `myxtts info` says which are missing.
EXTRAS = {
    "torch": ["torch"],
    # Compiled steps of --engine int8; librosa mostly brings it.
    "int8": ["numba>=0.59"],
    # MPEG-4, AAC, AMR and WMA recordings; its wheels have FFmpeg inside.
    "av": ["av>=12"],
    "zh": ["pypinyin>=0.55"],
    "ja": ["cutlet>=0.5.2", "unidic-lite>=1.0.8"],
    "ko": ["hangul-romanize>=0.1.0"],
    "languages": [
        "pypinyin>=0.55",
        "cutlet>=0.5.2",
        "unidic-lite>=1.0.8",
        "hangul-romanize>=0.1.0",
    ],
    "serving": ["requests>=2.28", "tensorflow-serving-api>=2.21"],
    # The gateway: `myxtts serve`.
    "server": [
        "fastapi>=0.115",
        "uvicorn>=0.30",
        "websockets>=13",
        "pydantic>=2.7",
        "python-multipart>=0.0.18",
        "prometheus-client>=0.20",
        "av>=12",
    ],
    # Work on many machines.
    "ray": ["ray>=2.40"],
    # The tab key: eval "$(register-python-argcomplete myxtts)".
    "completion": ["argcomplete>=3"],
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"],
    "dev": ["pytest>=8", "pytest-xdist>=3.5", "ruff==0.17.5"],
}
# Of these, torch and ray are large and are asked for by name.
EVERYTHING = ("int8", "languages", "serving", "server", "completion")
EXTRAS["all"] = sorted({line for extra in EVERYTHING for line in EXTRAS[extra]})


setup(
    name="myxtts",
    version="0.1.0",
    description="XTTS in Keras 3: text and a few seconds of a voice in, speech out",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["myxtts", "myxtts.*"]),
    package_data={
        "myxtts.verification": ["thresholds.json"],
        "myxtts.server": ["page.html"],
        # The model that comes with the package.
        "myxtts": ["data_files/*/*", "data_files/*/voices/*"],
    },
    entry_points={"console_scripts": ["myxtts = myxtts.programs.entry:main"]},
    python_requires=">=3.10",
    install_requires=requirements(),
    extras_require=EXTRAS,
)
