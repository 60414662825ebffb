//! Linear layers, attention, norms and rotary embeddings of glm4v; the home of its unsafe code.
