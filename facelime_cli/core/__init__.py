"""Pure functions on arrays: images, segments, masks, fills, surrogates, fidelity, overlays."""
