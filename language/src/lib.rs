//! Tokenizer, chat template, GLM decoder, KV cache and sampling.
