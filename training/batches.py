"""Samples of one size to tensors, made in a process of its own."""
import functools
import os
import random

import numpy as np
import torch

import documents
import matplotlib_charts
import samples

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
PATCH = 14
CELLS_X, CELLS_Y = 4, 2  # a patch's cells for glyph labels
CHARS = [chr(c) for c in range(33, 127)]
CHAR_CLASS = {c: i + 1 for i, c in enumerate(CHARS)}  # 0 is no glyph
CLASSES = len(CHARS) + 1
UNKNOWN = -1  # the label of cells of which nobody knows what stands there


def patches(image):
    """`(patches, 1176)` as the `glm4v` image processor makes them of an image of whole blocks."""
    a = (np.asarray(image, np.float32) / 255 - MEAN) / STD
    h, w = a.shape[0] // PATCH, a.shape[1] // PATCH
    a = a.reshape(h // 2, 2, PATCH, w // 2, 2, PATCH, 3).transpose(0, 3, 1, 4, 6, 2, 5).reshape(h * w, 3, 1, PATCH, PATCH)
    return np.repeat(a, 2, 2).reshape(h * w, -1)


def glyph_labels(canvas):
    """`(patches, cells)`: the character whose centre lies in each cell of each patch, or 0."""
    width, height = canvas.image.size
    h, w = height // PATCH, width // PATCH
    if canvas.glyphs is None:  # drawn by a program that does not tell
        return np.full((h * w, CELLS_Y * CELLS_X), UNKNOWN, np.int64)
    cells = np.zeros((h * CELLS_Y, w * CELLS_X), np.int64)
    for char, x, y in canvas.glyphs:
        i, j = int(y * CELLS_Y / PATCH // 1), int(x * CELLS_X / PATCH // 1)
        if 0 <= i < cells.shape[0] and 0 <= j < cells.shape[1] and y >= 0 and x >= 0:
            cells[i, j] = CHAR_CLASS.get(char, 0)
    cells = cells.reshape(h // 2, 2, CELLS_Y, w // 2, 2, CELLS_X).transpose(0, 3, 1, 4, 2, 5)
    return cells.reshape(h * w, CELLS_Y * CELLS_X)


class Encoder:
    """Turns (prompt, answer) pairs into ids with the chat template's marks."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.id = tokenizer.token_to_id
        self.newline = tokenizer.encode("\n").ids
        self.before = [self.id("[gMASK]"), self.id("<sop>"), self.id("<|user|>"), *self.newline, self.id("<|begin_of_image|>")]

    def prompt(self, text):
        return [*self.tokenizer.encode(text).ids, self.id("<|assistant|>"), *self.newline]

    def after(self, turns):
        """Ids after the visual tokens, and for each whether it is to be predicted. Later turns of a sample weigh as much as the first."""
        ids, learn = [self.id("<|end_of_image|>")], [0]
        for i, (question, answer) in enumerate(turns):
            head = ([] if i == 0 else [self.id("<|user|>"), *self.newline]) + self.prompt(question)
            tail = [*self.tokenizer.encode(answer).ids, self.id("<|endoftext|>") if i == len(turns) - 1 else self.id("<|user|>")]
            # "<|user|>" ends an answer and begins the next turn, so it stands only once
            head = head if i == 0 else head[1:]
            ids += head + tail
            learn += [0] * len(head) + [1] * len(tail)
        return ids, learn


def collate(encoder, made):
    """A batch from samples of one size; `made` is a list of (canvas, turns or None)."""
    width, height = made[0][0].image.size
    batch = {"patches": torch.from_numpy(np.stack([patches(c.image) for c, _ in made])), "grid": (height // PATCH, width // PATCH),
             "glyphs": torch.from_numpy(np.stack([glyph_labels(c) for c, _ in made]))}
    if made[0][1] is None:
        return batch
    encoded = [encoder.after(turns) for _, turns in made]
    length = -(-max(len(ids) for ids, _ in encoded) // 16) * 16  # few lengths: each new one costs a compilation
    pad = encoder.id("<|endoftext|>")
    batch["before"] = torch.tensor([encoder.before] * len(made))
    batch["after"] = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in encoded])
    batch["learn"] = torch.tensor([learn + [0] * (length - len(learn)) for _, learn in encoded])
    return batch


PATCHES_PER_BATCH = 3600


def make(r, stage, encoder):
    """One batch of a stage, all images of one size. Stages come one after another in training, each wider than the last."""
    easy = stage.endswith("_easy")
    if stage.startswith("glyphs") or stage == "heads":
        return collate(encoder, [(samples.dense_text(r, easy), None) for _ in range(40)])
    if stage.startswith("words"):
        size, one = (r.randint(3, 5), 1), lambda w, h: samples.text_lines(r, w, h, easy, most_words=1)
    elif stage.startswith("lines"):
        size, one = (r.randint(4, 12), 1), lambda w, h: samples.text_lines(r, w, h, easy)
    else:
        size, one = _mixed(r, easy)
    width, height = size[0] * samples.UNIT, size[1] * samples.UNIT
    n = PATCHES_PER_BATCH // (width * height // PATCH**2)
    return collate(encoder, [_stretched(r, one, width, height, easy) for _ in range(max(4, min(n, 128)))])


def _stretched(r, one, width, height, easy):
    """A sample drawn at another size and resized: real images are seldom a whole number of patches."""
    if easy or r.random() < 0.4 or one.__name__ == "as_drawn":
        return one(width, height)
    x, y = r.uniform(0.78, 1.25), r.uniform(0.78, 1.25)
    canvas, turns = one(int(width * x), int(height * y))
    canvas.fit(width, height)
    return canvas, turns


def _mixed(r, easy):
    """Charts above all, lines, paragraphs and images without text; a size in units of 28 pixels."""
    kind = r.random()
    if easy:
        return _easy(r, kind)
    if kind < 0.04:
        return (r.randint(4, 12), r.randint(3, 10)), lambda w, h: samples.without_text(r, w, h)
    if kind < 0.22:
        if r.random() < 0.2:
            return (r.randint(4, 12), 1), lambda w, h: samples.text_lines(r, w, h)
        return (r.randint(3, 20), r.choice([1, 1, 2])), lambda w, h: samples.single_line(r, w, h)
    if kind < 0.50:
        return (r.randint(6, 12), r.randint(2, 7)), lambda w, h: samples.text_lines(r, w, h)
    if kind < 0.59:
        return (r.randint(6, 14), r.randint(4, 10)), r.choice([lambda w, h: documents.receipt(r, w, h), lambda w, h: documents.table(r, w, h), lambda w, h: documents.page(r, w, h)])
    if kind < 0.73 and matplotlib_charts.drawn():
        size = r.choice(list(matplotlib_charts.drawn()))
        return (size[0] // samples.UNIT, size[1] // samples.UNIT), _as_drawn(r)
    if kind < 0.80:
        width, height = r.choice(samples.CHART_SIZES[2:] + samples.LARGE_CHART_SIZES[:1])
        draw = samples.series_chart if r.random() < 0.7 else functools.partial(samples.chart, turns=8, labelled=False)
        return (width // samples.UNIT, height // samples.UNIT), lambda w, h: draw(r, w, h)
    return _chart(r, easy)


def _easy(r, kind):
    """Lines in plain fonts, simple charts, and a few images without text."""
    if kind < 0.05:
        return (r.randint(4, 10), r.randint(3, 8)), lambda w, h: samples.without_text(r, w, h)
    if kind < 0.33:
        return (r.randint(4, 12), 1), lambda w, h: samples.text_lines(r, w, h, r.random() < 0.5)
    return _chart(r, True)


def _chart(r, easy):
    sizes = samples.CHART_SIZES if r.random() < (0.6 if easy else 0.85) else samples.LARGE_CHART_SIZES
    width, height = r.choice(sizes)
    return (width // samples.UNIT, height // samples.UNIT), lambda w, h: samples.chart(r, w, h, easy, turns=8)


def _as_drawn(r):
    """A chart of another program's, which has one size."""
    def as_drawn(width, height):
        return samples.drawn_chart(r, width, height)
    return as_drawn


def produce(queue, stage, encoder, seed):
    """Runs forever in its own process; `stage` is a shared name."""
    torch.set_num_threads(1)
    os.sched_setaffinity(0, range(os.cpu_count()))  # the trainer may be held to some cores
    r = random.Random(seed)
    while True:
        name = bytes(stage.value).decode()
        queue.put((name, make(r, name, encoder)))
