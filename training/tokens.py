"""The nano vocabulary: special tokens, all bytes, and merges for the words of prompts."""
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import charts
import samples

SPECIAL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
           "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<|image|>", "<|video|>", "<think>", "</think>",
           "<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>"]
VOCAB_SIZE = 384
# A leading space belongs to the word after it; digits and marks stand alone, so that what is read is spelt.
SPLIT = r" ?[A-Za-z]+|[0-9]|\s+|[^\sA-Za-z0-9]"


def _boilerplate():
    """Prompts and the fixed words of answers, with the data left out."""
    r = random.Random(0)
    for _ in range(4000):
        chart = charts.Chart(r, 6, False)
        chart.names, chart.title = ["1", "2"], ""
        chart.values, chart.colours = ["1", "2"], chart.colours[:2]
        for question, answer in charts.questions(r, chart, 20):
            yield question
            if "." in answer or answer in ("Yes", "No") or answer in charts.COLOURS:
                yield answer
    for text in (samples.OCR, samples.DESCRIBE, "A photograph. No text.", "A color gradient. No text.", 'Text: "'):
        yield from [text] * 500


def build():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(_boilerplate(), trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    return tokenizer
