"""The one program ``myxtts`` and what its sub-commands call."""
