"""Names and kinds that a served model and its clients agree on; nothing else is imported."""

OPTIONS = {
    "temperature": "float32",
    "top_k": "int32",
    "top_p": "float32",
    "repetition_penalty": "float32",
    "seed": "int64",
}
