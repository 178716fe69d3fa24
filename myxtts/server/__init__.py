"""An HTTP door to a speaking model, in OpenAI's dialect: ``myxtts serve``."""
