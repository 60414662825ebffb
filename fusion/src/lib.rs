//! A whole vision-language model: families, the splice, positions, sessions, generation, parity.
