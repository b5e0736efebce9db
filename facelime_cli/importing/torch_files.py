"""PyTorch networks from outside: exported programs, TorchScript files, and modules that Python builds."""
