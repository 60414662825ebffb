"""Trains nano from scratch on rendered text and charts. Usage: python train.py RUN MINUTES [--stages FILE]

RUN is a folder: `last.pt` is written every few minutes (whole, then renamed), and a run that finds
one goes on from it. Stages and their shares of the time are in `STAGES`.
"""
import json
import math
import multiprocessing as mp
import os
import random
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

import batches
import samples
import tokens
from model import VISION, Nano
from optim import Muon, split_parameters

# (stage, share of the whole time, weight of the glyph loss)
STAGES = [("glyphs_easy", 0.04, 1.0), ("glyphs", 0.14, 1.0), ("lines_easy", 0.05, 0.5), ("lines", 0.12, 0.5), ("all", 0.65, 0.3)]
MUON_LR, ADAM_LR = 0.02, 2e-3
SAVE_EVERY = 120  # seconds


class Trainee(nn.Module):
    """The model with the head that reads glyphs off the tower's features; the head is not exported."""

    def __init__(self, vocab):
        super().__init__()
        self.nano = Nano(vocab)
        self.glyph_head = nn.Linear(VISION["hidden_size"], batches.CELLS_X * batches.CELLS_Y * batches.CLASSES)

    def losses(self, batch):
        h, w = batch["grid"]
        tower = self.nano.visual()
        features = tower.features(batch["patches"], h, w)
        out = {"glyph": self._glyph_loss(features, batch["glyphs"])}
        if "after" in batch:
            states = self.nano.answer_states(batch["before"], tower.tokens(features), batch["after"], h, w)
            start = states.shape[1] - batch["after"].shape[1]
            learn = batch["learn"][:, 1:] == 1
            logits = self.nano.logits(states[:, start:-1][learn])
            targets = batch["after"][:, 1:][learn]
            out["answer"] = F.cross_entropy(logits, targets)
            out["accuracy"] = (logits.argmax(-1) == targets).float().mean().detach()
        return out

    def _glyph_loss(self, features, glyphs):
        """Every cell with a glyph, and as many empty ones again."""
        glyphs = glyphs.flatten()
        keep = (glyphs > 0) | (torch.rand(glyphs.shape) < 0.12)
        cells = self.glyph_head(features).view(-1, batches.CLASSES)[keep]
        self.glyph_accuracy = (cells.argmax(-1) == glyphs[keep])[glyphs[keep] > 0].float().mean().detach()
        return F.cross_entropy(cells, glyphs[keep])


def stage_at(share):
    for name, part, weight in STAGES:
        if share < part:
            return name, weight
        share -= part
    return STAGES[-1][0], STAGES[-1][2]


def learning_rate(share):
    """Warm, then constant, then down to a twentieth over the last 30 %."""
    return min(1.0, share / 0.01 + 0.05) * (1.0 if share < 0.7 else 0.05 + 0.95 * (1 - share) / 0.3)


class Run:
    def __init__(self, folder, minutes):
        self.folder, self.minutes = folder, minutes
        os.makedirs(folder, exist_ok=True)
        torch.manual_seed(1)
        path = os.path.join(folder, "tokenizer.json")
        if os.path.exists(path):
            self.tokenizer = tokens.Tokenizer.from_file(path)
        else:
            self.tokenizer = tokens.build()
            self.tokenizer.save(path)
        self.model = Trainee(tokens.VOCAB_SIZE)
        matrices, rest = split_parameters(self.model)
        self.muon = Muon(matrices, MUON_LR)
        self.adam = torch.optim.AdamW(rest, ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0)
        self.average = None
        self.spent, self.step, self.seen = 0.0, 0, 0
        last = os.path.join(folder, "last.pt")
        if os.path.exists(last):
            self._restore(torch.load(last, weights_only=True))
        print(f"{sum(p.numel() for p in self.model.nano.parameters()) / 1e6:.2f} M parameters, {self.spent / 60:.1f} min done", flush=True)

    def _restore(self, state):
        self.model.load_state_dict(state["model"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.average, self.spent, self.step, self.seen = state["average"], state["spent"], state["step"], state["seen"]

    def save(self):
        path = os.path.join(self.folder, "last.pt")
        torch.save({"model": self.model.state_dict(), "muon": self.muon.state_dict(), "adam": self.adam.state_dict(),
                    "average": self.average, "spent": self.spent, "step": self.step, "seen": self.seen}, path + ".part")
        os.replace(path + ".part", path)

    def _average(self, share):
        """A running mean of the weights over the last part, which is what is exported."""
        if share < 0.7 or self.step % 10:
            return
        state = self.model.nano.state_dict()
        if self.average is None:
            self.average = {k: v.clone() for k, v in state.items()}
        for k, v in state.items():
            self.average[k].lerp_(v, 0.03)

    def train(self):
        stage = mp.Array("c", 32)
        stage.value = stage_at(self.spent / 60 / self.minutes)[0].encode()
        queue = mp.Queue(4)
        encoder = batches.Encoder(self.tokenizer)
        mp.Process(target=batches.produce, args=(queue, stage, encoder, 1000 + self.step), daemon=True).start()
        log, last_save = {}, time.time()
        while (share := self.spent / 60 / self.minutes) < 1:
            name, glyph_weight = stage_at(share)
            stage.value = name.encode()
            started = time.time()
            _, batch = queue.get()
            losses = self.model.losses(batch)
            loss = glyph_weight * losses["glyph"] + losses.get("answer", 0.0)
            self._update(loss, learning_rate(share))
            self._average(share)
            self.spent += time.time() - started
            self.step += 1
            self.seen += len(batch["patches"])
            for k, v in [*losses.items(), ("glyph_accuracy", self.model.glyph_accuracy)]:
                log.setdefault(k, []).append(v.item())
            if self.step % 25 == 0:
                means = {k: round(sum(v) / len(v), 3) for k, v in log.items()}
                print(f"{self.spent / 60:.1f} min step {self.step} {name} seen {self.seen} {json.dumps(means)}", flush=True)
                log = {}
            if time.time() - last_save > SAVE_EVERY:
                self.save()
                last_save = time.time()
        self.save()

    def _update(self, loss, scale):
        for optimiser, rate in ((self.muon, MUON_LR), (self.adam, ADAM_LR)):
            optimiser.zero_grad()
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step()
        self.adam.step()


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("THREADS", 2)))
    Run(sys.argv[1], float(sys.argv[2])).train()
