"""What a voice's numbers may be; without Keras, for clients of a server."""

# Of latents and speaker embeddings: a hundred times what models make.
LARGEST = 1e4
