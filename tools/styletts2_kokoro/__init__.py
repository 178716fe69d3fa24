"""From a recording to a Kokoro voice in one pass: style encoders and the map to the voice space."""
