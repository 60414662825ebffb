"""Samples of one size to tensors, made in a process of its own."""
import functools
import os
import random

import numpy as np
import torch

import charts
import documents
import matplotlib_charts
import pointers
import samples
import series_charts
from canvas import NO_CHAR
from model import VISION
from thoughts import before_answer
from words import ACCENTED

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
PATCH = VISION["patch_size"]
CELLS_X, CELLS_Y = 3, 2  # a patch's cells for glyph labels
CHARS = [chr(c) for c in range(33, 127)] + list("€£¥" + ACCENTED)
CHAR_CLASS = {c: i + 1 for i, c in enumerate(CHARS)}  # 0 is no glyph
CLASSES = len(CHARS) + 1
COLOUR_CODES = [red << 16 | green << 8 | blue for red, green, blue in charts.COLOURS.values()]
COLOUR_CLASSES = len(COLOUR_CODES) + 1  # 0 is none of them
UNKNOWN = -1  # the label of cells of which nobody knows what stands there


def patches(image):
    """`(patches, 600)` as the `glm4v` image processor makes them of an image of whole blocks."""
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
        if char == NO_CHAR:
            continue
        i, j = int(y * CELLS_Y / PATCH // 1), int(x * CELLS_X / PATCH // 1)
        if 0 <= i < cells.shape[0] and 0 <= j < cells.shape[1] and y >= 0 and x >= 0:
            cells[i, j] = CHAR_CLASS.get(char, 0)
    cells = cells.reshape(h // 2, 2, CELLS_Y, w // 2, 2, CELLS_X).transpose(0, 3, 1, 4, 2, 5)
    return cells.reshape(h * w, CELLS_Y * CELLS_X)


def colour_labels(image):
    """`(patches,)`: which of the charts' colours fills a quarter of each patch or more, or 0 for none."""
    a = np.asarray(image, np.int32)
    codes = a[..., 0] << 16 | a[..., 1] << 8 | a[..., 2]
    h, w = a.shape[0] // PATCH, a.shape[1] // PATCH
    shares = np.stack([(codes == code).reshape(h, PATCH, w, PATCH).mean((1, 3)) for code in COLOUR_CODES])
    labels = np.where(shares.max(0) >= 0.25, shares.argmax(0) + 1, 0)
    return labels.reshape(h // 2, 2, w // 2, 2).transpose(0, 2, 1, 3).reshape(h * w)


class Encoder:
    """Turns (prompt, answer) and (prompt, answer, thoughts) into ids with the chat template's marks."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.id = tokenizer.token_to_id
        self.newline = tokenizer.encode("\n").ids
        self.before = [self.id("[gMASK]"), self.id("<sop>"), self.id("<|user|>"), *self.newline, self.id("<|begin_of_image|>")]

    def prompt(self, text):
        return [*self.tokenizer.encode(text).ids, self.id("<|assistant|>"), *self.newline]

    def turn(self, question, answer, thoughts=(), canvas=None, given=""):
        """Ids of a turn, whether each is to be predicted, the visual token that each was read from and its cell there, or -1.

        `given` is the part of the reply that is there already and not to be learnt.
        """
        head = self.prompt(question)
        text = before_answer(thoughts) + answer
        encoding = self.tokenizer.encode(text)
        tail = [*encoding.ids, self.id("<|endoftext|>")]
        learn = [int(start >= len(given)) for start, _ in encoding.offsets] + [1]
        read = [NOWHERE] * len(tail)
        if canvas is not None and canvas.glyphs is not None:
            glyphs = pointers.of_characters(text, canvas.words)
            read = [_visual_token(canvas, glyphs[start]) if end == start + 1 else NOWHERE for start, end in encoding.offsets] + [NOWHERE]
        tokens, cells = zip(*[NOWHERE] * len(head), *read)
        return head + tail, [0] * len(head) + learn, tokens, cells

    def after(self, turns, canvas=None):
        """What follows the visual tokens: the turns side by side, as if each were the first.

        Lists of equal length: ids; to be predicted or not; visual tokens read, and cells; the turn (0: before all of them);
        positions, counted from the end of the image.
        """
        ids, learn, read, cells, segments, places = [self.id("<|end_of_image|>")], [0], [-1], [-1], [0], [0]
        for i, turn in enumerate(turns):
            found = self.turn(*turn, canvas=canvas) if len(turn) < 4 else self.turn(*turn[:3], given=turn[3])
            for column, more in zip((ids, learn, read, cells), found):
                column += more
            segments += [i + 1] * len(found[0])
            places += range(1, len(found[0]) + 1)
        return ids, learn, read, cells, segments, places


NOWHERE = -1, -1


def _visual_token(canvas, glyph):
    """The visual token in whose 20 x 20 pixels a glyph's centre lies, and its cell there (4 x 6, row by row); -1 for no glyph, or one outside.

    A mark that only has a colour fills more than a cell, and has none.
    """
    if glyph < 0:
        return NOWHERE
    char, x, y = canvas.glyphs[glyph]
    width, height = (side // (2 * PATCH) for side in canvas.image.size)
    column, row = int(x // (2 * PATCH)), int(y // (2 * PATCH))
    if not (0 <= column < width and 0 <= row < height):
        return NOWHERE
    if char == NO_CHAR:
        return row * width + column, -1
    cell = int(y % (2 * PATCH) * CELLS_Y / PATCH) * 2 * CELLS_X + int(x % (2 * PATCH) * CELLS_X / PATCH)
    return row * width + column, cell


def collate(encoder, made):
    """A batch from samples of one size; `made` is a list of (canvas, turns or None)."""
    width, height = made[0][0].image.size
    batch = {"patches": torch.from_numpy(np.stack([patches(c.image) for c, _ in made])), "grid": (height // PATCH, width // PATCH),
             "glyphs": torch.from_numpy(np.stack([glyph_labels(c) for c, _ in made])),
             "colours": torch.from_numpy(np.stack([colour_labels(c.image) for c, _ in made]))}
    if made[0][1] is None:
        return batch
    return {**batch, **answers(encoder, [encoder.after(turns, canvas) for canvas, turns in made])}


def answers(encoder, encoded):
    """What `Encoder.after` gave for each sample, as tensors of one length."""
    length = -(-max(len(ids) for ids, *_ in encoded) // 16) * 16  # few lengths: each new one costs a compilation
    padding = {"after": encoder.id("<|endoftext|>"), "learn": 0, "read": -1, "cells": -1, "segments": -1, "places": 0}
    columns = zip(padding.items(), zip(*encoded))
    batch = {name: torch.tensor([list(row) + [pad] * (length - len(row)) for row in rows]) for (name, pad), rows in columns}
    return {"before": torch.tensor([encoder.before] * len(encoded)), **batch}


SUMS = {"reckon": 0.8, "all": 0.3, "last": 0.2, "paragraphs": 0.1}  # share of a stage's batches that have no image
IDS_PER_BATCH = 12_000


def sums(r, sizes, encoder):
    """Questions about charts whose table is already written in the thoughts: what is left to learn is to reckon. No image."""
    most, encoded, longest = sizes.randint(2, 8), [], 0
    while len(encoded) * longest < IDS_PER_BATCH:
        data = series_charts.Series(r, min(4, most), False) if r.random() < 0.25 else charts.Chart(r, most, False)
        rows = series_charts.table(data) if isinstance(data, series_charts.Series) else charts.table(data)
        turns = [turn for turn in series_charts.questions(r, data, 20) if turn[2][:1] == (rows,)]
        turns = [turn for turn in turns if len(turn[2]) > 1 or r.random() < 0.15]  # what is only to be looked up is soon learnt
        encoded += [encoder.after([(*turn, f"<think>{rows}")]) for turn in turns[:3]]
        longest = max((len(ids) for ids, *_ in encoded), default=0)
    return {"grid": (0, 0), "image_side": r.randint(3, 16), **answers(encoder, encoded)}


PATCHES_PER_BATCH = 4000


def make(r, sizes, stage, encoder):
    """One batch of a stage, all images of one size. Stages come one after another in training, each wider than the last.

    `sizes` chooses what and how large, and is the same in all workers, as they wait for one another; `r` chooses the rest.
    """
    easy = stage.endswith("_easy")
    if sizes.random() < SUMS.get(stage, 0):
        return sums(r, sizes, encoder)
    if stage.startswith("glyphs") or stage == "heads" and sizes.random() < 0.7:
        return collate(encoder, [(samples.dense_text(r, easy), None) for _ in range(40)])
    if stage.startswith("words"):
        size, one = (sizes.randint(4, 7), 1), lambda w, h: samples.text_lines(r, w, h, easy, most_words=1)
    elif stage.startswith("lines"):
        size, one = (sizes.randint(6, 17), 1), lambda w, h: samples.text_lines(r, w, h, easy)
    elif stage == "paragraphs" and sizes.random() < 0.4:
        size, one = _paragraph(sizes, r)
    else:
        size, one = _easy(sizes, r) if easy else _chart(sizes, r) if stage == "heads" else _mixed(sizes, r)
    width, height = size[0] * samples.UNIT, size[1] * samples.UNIT
    n = PATCHES_PER_BATCH // (width * height // PATCH**2)
    made = [_stretched(r, one, width, height, easy) for _ in range(max(3, min(n, 96)))]
    return collate(encoder, [(canvas, None) for canvas, _ in made] if stage == "heads" else made)


def _stretched(r, one, width, height, easy):
    """A sample drawn at another size and resized: real images are seldom a whole number of patches."""
    x, y = (1, 1) if easy or r.random() < 0.4 else (r.uniform(0.78, 1.25), r.uniform(0.78, 1.25))
    canvas, turns = one(int(width * x), int(height * y))
    if canvas.image.size != (width, height):
        canvas.fit(width, height)
    turns = _one_table(turns)
    return canvas, _in_conversation(turns) if len(turns) > 1 and r.random() < 0.12 else turns


def _one_table(turns):
    """Up to three turns of which one at most writes the chart's table: a second time would teach nothing new.

    Colours come before what else needs no table: few charts can be asked for them, and they are learnt last.
    """
    def is_table(question, _, thoughts=()):
        return question == "Convert the chart to a table." or any(" | " in part for part in thoughts) and "color" not in question
    tables = [turn for turn in turns if is_table(*turn)]
    others = sorted((turn for turn in turns if turn not in tables), key=lambda turn: "color" not in turn[0])
    return tables[:1] + others[:2]


def _in_conversation(turns):
    """The second turn after the first one; its thoughts are no part of what a template repeats."""
    (question, answer, *_), (next_question, *rest) = turns[:2]
    return [(f"{question}<|assistant|>\n{answer}<|user|>\n{next_question}", *rest), *turns[2:]]


def _mixed(sizes, r):
    """Charts above all, lines, paragraphs and images without text; a size in units of 20 pixels, and what draws it."""
    kind, between = sizes.random(), sizes.randint
    if kind < 0.03:
        return (between(6, 17), between(4, 14)), lambda w, h: samples.without_text(r, w, h)
    if kind < 0.2:
        if sizes.random() < 0.2:
            return (between(6, 17), sizes.choice([1, 2])), lambda w, h: samples.text_lines(r, w, h)
        return (between(4, 28), sizes.choice([1, 2, 2, 2])), lambda w, h: samples.single_line(r, w, h)
    if kind < 0.5:
        return _paragraph(sizes, r)
    if kind < 0.54:
        return (between(8, 20), between(6, 14)), sizes.choice([lambda w, h: documents.receipt(r, w, h), lambda w, h: documents.table(r, w, h), lambda w, h: documents.page(r, w, h)])
    if kind < 0.72 and matplotlib_charts.drawn():
        size = sizes.choice(list(matplotlib_charts.drawn()))
        return _units(*size), lambda *_: samples.drawn_chart(r, *size)
    if kind < 0.79:
        width, height = sizes.choice(samples.CHART_SIZES[2:] + samples.LARGE_CHART_SIZES[:1])
        draw = samples.series_chart if sizes.random() < 0.7 else functools.partial(samples.chart, labelled=False)
        return _units(width, height), lambda w, h: draw(r, w, h)
    return _chart(sizes, r)


def _paragraph(sizes, r):
    """Several lines, half of them so close that two meet in a visual token, which is hardest."""
    close = sizes.random() < 0.5
    return (sizes.randint(8, 17), sizes.randint(3, 10)), lambda w, h: samples.text_lines(r, w, h, sizes=(13, 16) if close else (13, 24))


def _easy(sizes, r):
    """Lines in plain fonts, simple charts, and a few images without text."""
    kind = sizes.random()
    if kind < 0.05:
        return (sizes.randint(6, 14), sizes.randint(4, 11)), lambda w, h: samples.without_text(r, w, h)
    if kind < 0.33:
        return (sizes.randint(6, 17), 1), lambda w, h: samples.text_lines(r, w, h, r.random() < 0.5)
    return _chart(sizes, r, True)


def _chart(sizes, r, easy=False):
    width, height = sizes.choice(samples.CHART_SIZES if sizes.random() < (0.6 if easy else 0.8) else samples.LARGE_CHART_SIZES)
    return _units(width, height), lambda w, h: samples.chart(r, w, h, easy)


def _units(width, height):
    """The size that preprocessing gives an image, in units."""
    return round(width / samples.UNIT), round(height / samples.UNIT)


def produce(queue, stage, encoder, seed):
    """Runs forever in its own process; `stage` is a shared name."""
    torch.set_num_threads(1)
    os.sched_setaffinity(0, range(os.cpu_count()))  # the trainer may be held to some cores
    r, sizes = random.Random(seed), random.Random(seed % 1_000_003)
    while True:
        name = bytes(stage.value).decode()
        queue.put((name, make(r, sizes, name, encoder)))
