"""The only door to Keras and to other runtimes."""
