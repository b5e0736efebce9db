"""The artifact store: the only door to zarr and h5py."""
