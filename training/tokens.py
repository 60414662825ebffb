"""The nano vocabulary: special tokens, all bytes, and the fixed phrases of prompts and answers.

What is read off an image is spelt byte by byte, so that each token is one character that the tower
has seen; a merge would join characters that stand in different patches.
"""
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
           "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<|image|>", "<|video|>", "<think>", "</think>",
           "<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>"]
PHRASES = ["Text Recognition:", "Table Recognition:", "Describe this image.", "Convert the chart to a table.", "What is the value of ",
           "What is the title of the chart?", "How many categories are there?", "What type of chart is this?", "What is the highest value?",
           "What is the lowest value?", "Which category has the highest value?", "Which category has the lowest value?", " greater than ",
           "What is the color of ", "What is the sum of ", "What is the difference between ", "A bar chart titled ", "A horizontal bar chart titled ",
           "A line chart titled ", "A pie chart titled ", "bar chart", "horizontal bar chart", "line chart", "pie chart", "A photograph.",
           "A color gradient.", "A texture.", "A plain color.", "Colored shapes.", " No text.", "No text.", "What does it say?", "What is "]
VOCAB_SIZE = 320


def build():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: i for i, text in enumerate(SPECIAL + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in PHRASES])
    assert tokenizer.get_vocab_size() <= VOCAB_SIZE
    return tokenizer
