"""Trains nano from scratch on rendered text and charts.

Usage: python train.py RUN MINUTES [--stages name:share:glyph_weight,...] [--weights CHECKPOINT] [--from-model FOLDER] [--tower CHECKPOINT] [--freeze-tower] [--decay SHARE] [--rate SHARE] [--f32] [--drawn FOLDER]
Or, with a process a core, each on batches of its own: OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 train.py RUN MINUTES ...

RUN is a folder: `last.pt` is written every few minutes (whole, then renamed), and a run that finds
one goes on from it. Stages and their shares of the time are in `STAGES` unless given. `--weights`
takes the weights of another run's `last.pt` (its optimiser state is left behind), `--from-model` those of an
exported folder, which has no heads: a stage `heads` first teaches these alone; `--tower`
takes the tower from another one again; `--drawn` is a folder of charts drawn by
matplotlib beforehand; with `--freeze-tower` only what comes after the tower's features learns, at less than half the cost.
"""
import argparse
import json
import math
import multiprocessing as mp
import os
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from safetensors.torch import load_file

import batches
import matplotlib_charts
import model as graph
import tokens
from model import TEXT, VISION, Nano
from optim import Muon, split_parameters

# (stage, share of the whole time, weight of the glyph loss)
STAGES = [("glyphs_easy", 0.04, 1.0), ("glyphs", 0.14, 1.0), ("lines_easy", 0.05, 0.5), ("lines", 0.12, 0.5), ("all", 0.65, 0.3)]
MUON_LR, ADAM_LR = 0.02, 2e-3
POINTERS, POINTER_WEIGHT = [(2, 1), (3, 2)], 0.1  # (decoder layer, head) that look where the next character stands
COLOUR_WEIGHT = 0.1
PLACE_LAYER, PLACE_WEIGHT = 2, 0.1  # the decoder layer from whose states the next character's cell in its visual token is told
ROW = VISION["spatial_merge_size"] * batches.CELLS_X  # cells
PATCHES = "model.visual.patch_embed.proj.weight"
SAVE_EVERY = 120  # seconds


class Trainee(nn.Module):
    """The model with heads that read glyphs and colours, off the tower's features and off the visual tokens, and one that tells where.

    Those on the visual tokens make the projector pass on what the tower has read; without them the decoder
    has to teach the projector to do so, which takes long. The last makes the decoder know the line and the
    column inside a visual token, where two lines may stand. The heads are not exported.
    """

    def __init__(self, vocab, freeze_tower=False):
        super().__init__()
        self.glyph_accuracy = torch.tensor(math.nan)
        self.nano = Nano(vocab)
        self.freeze_tower = freeze_tower
        cells = batches.CELLS_X * batches.CELLS_Y * batches.CLASSES
        self.glyph_head = nn.Linear(VISION["hidden_size"], cells)
        self.token_head = nn.Linear(VISION["out_hidden_size"], VISION["spatial_merge_size"] ** 2 * cells)
        self.colour_head = nn.Linear(VISION["hidden_size"], batches.COLOUR_CLASSES)
        self.token_colour_head = nn.Linear(VISION["out_hidden_size"], VISION["spatial_merge_size"] ** 2 * batches.COLOUR_CLASSES)
        self.place_head = nn.Linear(TEXT["hidden_size"], VISION["spatial_merge_size"] ** 2 * batches.CELLS_X * batches.CELLS_Y)

    def losses(self, batch):
        if "patches" in batch:
            return self._of_images(batch)
        nothing = torch.zeros(len(batch["after"]), 0, VISION["out_hidden_size"])
        return {f"sums_{name}": value for name, value in self._of_answers(batch, nothing, batch["image_side"], 1).items()}

    def _of_images(self, batch):
        h, w = batch["grid"]
        tower = self.nano.visual()
        with torch.set_grad_enabled(not self.freeze_tower and torch.is_grad_enabled()):
            features = tower.features(batch["patches"], h, w)
            out = {"glyph": self._glyph_loss(self.glyph_head, features, batch["glyphs"])}
            out["colour"] = told(self.colour_head, features, batch["colours"])[0]
        visual = tower.tokens(features)
        out["token_glyph"] = self._glyph_loss(self.token_head, visual, batch["glyphs"])
        out["token_colour"], out["colour_accuracy"] = told(self.token_colour_head, visual, batch["colours"])
        if "after" in batch:
            out.update(self._of_answers(batch, visual, h // 2, w // 2))
        return out

    def _of_answers(self, batch, visual, h, w):
        states, between, shares = self.nano.answer_states(batch["before"], visual, batch["after"], batch["segments"], batch["places"], h, w)
        start = states.shape[1] - batch["after"].shape[1]
        learn = batch["learn"][:, 1:] == 1
        logits = self.nano.logits(states[:, start:-1][learn])
        targets = batch["after"][:, 1:][learn]
        out = {"answer": F.cross_entropy(logits, targets), "accuracy": (logits.argmax(-1) == targets).float().mean().detach()}
        sample, place = ((batch["read"][:, 1:] >= 0) & learn).nonzero(as_tuple=True)
        if len(sample):
            column = batch["before"].shape[1] + batch["read"][:, 1:][sample, place]
            found = torch.stack([shares[layer][sample, head, start + place, column].float() for layer, head in POINTERS])
            out["pointer"] = -(found + 1e-4).log().mean()
            wanted = batch["cells"][:, 1:][sample, place]
            sample, place, wanted = sample[wanted >= 0], place[wanted >= 0], wanted[wanted >= 0]
            cells = self.place_head(between[PLACE_LAYER][sample, start + place])
            out["place"] = F.cross_entropy(cells, wanted)
            out["place_accuracy"] = (cells.argmax(-1) // ROW == wanted // ROW).float().mean().detach()
        return out

    def _glyph_loss(self, head, features, glyphs):
        loss, accuracy = told(head, features, glyphs)
        self.glyph_accuracy = accuracy
        return loss


def told(head, features, labels):
    """How well a head tells the label of each cell that has one, and of some of those with none: the loss, and the share right of the former."""
    labels = labels.flatten()
    keep = ((labels > 0) | (labels == 0) & (torch.rand(labels.shape) < 0.1)).nonzero()[:, 0]
    if not len(keep):
        return features.sum() * 0.0, torch.tensor(math.nan)
    wanted = labels[keep]
    guessed = head(features).view(len(labels), -1)[keep]
    return F.cross_entropy(guessed, wanted), (guessed.argmax(-1) == wanted)[wanted > 0].float().mean().detach()


def is_tower(name):
    """Whether a parameter stands before the tower's features, or reads glyphs or colours off them."""
    return "glyph_head" in name or name.startswith("colour_head") or ".visual." in name and "downsample" not in name and "merger" not in name


def is_head(name):
    """Whether a parameter only teaches and is thrown away after training."""
    return "_head." in name


def compile_blocks():
    """Fuses what stands between the products; one compilation serves all sizes."""
    for block in (graph.VisionBlock, graph.DecoderLayer):
        block.forward = torch.compile(block.forward, dynamic=True)


def stage_at(stages, share):
    """Name and glyph weight of the stage in which `share` (0 to 1) of the time has passed."""
    for name, part, weight in stages:
        if share < part:
            return name, weight
        share -= part
    return stages[-1][0], stages[-1][2]


def parse_stages(text):
    """`name:share:glyph_weight,...` as a list like `STAGES`."""
    parts = [part.split(":") for part in text.split(",")]
    return [(name, float(share), float(weight)) for name, share, weight in parts]


def learning_rate(share, decay, highest=1.0):
    """Warm, then constant, then down to a twentieth from `decay` (a share of the time) on."""
    return highest * min(1.0, share / 0.01 + 0.05) * (1.0 if share < decay else 0.05 + 0.95 * (1 - share) / (1 - decay))


def total(losses, glyph_weight, freeze_tower=False):
    """The loss that is learnt from."""
    seen = lambda name: losses.get(f"token_{name}", 0.0) + (0.0 if freeze_tower else losses.get(name, 0.0))
    taught = POINTER_WEIGHT * losses.get("pointer", 0.0) + PLACE_WEIGHT * losses.get("place", 0.0) + COLOUR_WEIGHT * seen("colour")
    return losses.get("answer", 0.0) + losses.get("sums_answer", 0.0) + glyph_weight * seen("glyph") + taught


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def workers():
    return dist.get_world_size() if dist.is_initialized() else 1


def agreed(seconds):
    """The mean over the workers, so that all pass from stage to stage, and end, at the same step."""
    if workers() == 1:
        return seconds
    value = torch.tensor([seconds], dtype=torch.float64)
    dist.all_reduce(value)
    return value.item() / workers()


def average_gradients(model):
    """Replaces each gradient by its mean over the workers; a parameter that one worker did not use has 0 there."""
    if workers() == 1:
        return
    parameters = [p for p in model.parameters() if p.requires_grad]
    flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters])
    dist.all_reduce(flat)
    start = 0
    for p in parameters:
        p.grad = flat[start : start + p.numel()].view_as(p) / workers()
        start += p.numel()


class Run:
    def __init__(self, folder, minutes, stages=STAGES, start=None, folder_of_model=None, tower=None, freeze_tower=False, decay=0.7, bf16=True, rate=1.0):
        self.decay, self.bf16, self.rate = decay, bf16, rate
        self.folder, self.minutes, self.stages = folder, minutes, stages
        os.makedirs(folder, exist_ok=True)
        torch.manual_seed(1)
        path = os.path.join(folder, "tokenizer.json")
        if os.path.exists(path):
            self.tokenizer = tokens.Tokenizer.from_file(path)
        else:
            beside = os.path.join(folder_of_model or os.path.dirname(start or ""), "tokenizer.json")
            self.tokenizer = tokens.Tokenizer.from_file(beside) if start or folder_of_model else tokens.build()
            self.tokenizer.save(path)
        self.model = Trainee(tokens.VOCAB_SIZE, freeze_tower)
        if start:
            self.model.load_state_dict(torch.load(start, weights_only=True)["model"])
        if folder_of_model:
            weights = load_file(os.path.join(folder_of_model, "model.safetensors"))
            weights[PATCHES] = graph.resized_kernel(weights[PATCHES], VISION["patch_size"])
            self.model.nano.load_state_dict({k: v.float() for k, v in weights.items()})
        if tower:
            read = torch.load(tower, weights_only=True)["model"]
            self.model.load_state_dict({k: v for k, v in read.items() if is_tower(k)}, strict=False)
        matrices, rest = split_parameters(self.model)
        self.muon = Muon(matrices, MUON_LR, dtype=torch.bfloat16 if bf16 else torch.float32)
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
        if share < self.decay or self.step % 10:
            return
        state = self.model.nano.state_dict()
        if self.average is None:
            self.average = {k: v.clone() for k, v in state.items()}
        for k, v in state.items():
            self.average[k].lerp_(v, 0.03)

    def train(self):
        stage = mp.Array("c", 32)
        stage.value = stage_at(self.stages, self.spent / 60 / self.minutes)[0].encode()
        queue = mp.Queue(4)
        encoder = batches.Encoder(self.tokenizer)
        seed = 1000 + self.step + 1_000_003 * rank()
        mp.Process(target=batches.produce, args=(queue, stage, encoder, seed), daemon=True).start()
        log, last_save = {}, time.time()
        while (share := self.spent / 60 / self.minutes) < 1:
            name, glyph_weight = stage_at(self.stages, share)
            stage.value = name.encode()
            started = time.time()
            _, batch = queue.get()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                losses = self.model.losses(batch)
            loss = total(losses, glyph_weight, self.model.freeze_tower)
            self._update(loss, 1.0 if name == "heads" else learning_rate(share, self.decay, self.rate), heads_alone=name == "heads")
            self._average(share)
            self.spent += agreed(time.time() - started)
            self.step += 1
            self.seen += len(batch.get("patches", ())) * workers()
            for k, v in [*losses.items(), ("glyph_accuracy", self.model.glyph_accuracy)]:
                if not math.isnan(v.item()):
                    log.setdefault(k, []).append(v.item())
            if rank() == 0 and self.step % 25 == 0:
                means = {k: round(sum(v) / len(v), 3) for k, v in log.items()}
                print(f"{self.spent / 60:.1f} min step {self.step} {name} seen {self.seen} {json.dumps(means)}", flush=True)
                log = {}
            if rank() == 0 and time.time() - last_save > SAVE_EVERY:
                self.save()
                last_save = time.time()
        if rank() == 0:
            self.save()

    def _update(self, loss, scale, heads_alone=False):
        for optimiser, rate in ((self.muon, MUON_LR), (self.adam, ADAM_LR)):
            optimiser.zero_grad()
            for group in optimiser.param_groups:
                group["lr"] = rate * scale
        loss.backward()
        average_gradients(self.model)
        if heads_alone:
            for parameter_name, p in self.model.named_parameters():
                p.grad = p.grad if is_head(parameter_name) else None
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step()
        self.adam.step()


def main():
    parser = argparse.ArgumentParser(description="Trains nano.")
    parser.add_argument("run")
    parser.add_argument("minutes", type=float)
    parser.add_argument("--stages", type=parse_stages, default=STAGES)
    parser.add_argument("--weights")
    parser.add_argument("--from-model")
    parser.add_argument("--tower")
    parser.add_argument("--freeze-tower", action="store_true")
    parser.add_argument("--decay", type=float, default=0.7, help="the share of the time from which the rate falls and weights are averaged")
    parser.add_argument("--rate", type=float, default=1.0, help="the share of the whole learning rate at which to begin")
    parser.add_argument("--f32", action="store_true", help="for processors without bf16 (AVX2), where torch emulates it, thirty times slower")
    parser.add_argument("--drawn", help="a folder of charts that `matplotlib_charts.py` drew")
    a = parser.parse_args()
    matplotlib_charts.FOLDER = a.drawn
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    compile_blocks()
    Run(a.run, a.minutes, a.stages, a.weights, a.from_model, a.tower, a.freeze_tower, a.decay, not a.f32, a.rate).train()


if __name__ == "__main__":
    main()
