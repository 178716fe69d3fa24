"""The rules of speaking, each once: in Python, in a served graph and for a client."""
