"""Training a network on a dataset: recipes, settings, phases and epochs, and what a stop keeps of them."""
