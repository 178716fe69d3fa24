"""Pretrained weights for the speaker encoders."""


def load_pretrained_speaker_encoder(encoder, path=None):
    raise NotImplementedError
