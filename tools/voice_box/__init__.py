"""What the model that comes with the package is made of: voices, model card, proof."""
