//! Evaluation datasets as a stream of samples.
