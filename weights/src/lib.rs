//! Checkpoints as named tensors: Hugging Face folders, the hub and its cache.
