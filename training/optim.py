"""Muon for the matrices (Jordan et al. 2024), AdamW for everything else."""
import torch
import torch.distributed as dist


def orthogonalise(g, dtype=torch.bfloat16, steps=5):
    """Newton-Schulz iteration towards the nearest orthogonal matrix; it tolerates bf16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (g / (g.norm() + 1e-7)).to(dtype)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        y = x @ x.T
        x = a * x + (b * y + c * y @ y) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, weight_decay=0.01, dtype=torch.bfloat16):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))
        self.dtype = dtype

    @torch.no_grad()
    def step(self):
        """Several workers, whose gradients are the same, each orthogonalise a share and exchange the results."""
        workers, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        for group in self.param_groups:
            found = [p for p in group["params"] if p.grad is not None]
            updates = [self._update(p, group["momentum"], i % workers == rank) for i, p in enumerate(found)]
            if workers > 1 and found:
                flat = torch.cat([u.flatten() for u in updates])
                dist.all_reduce(flat)
                updates = flat.split([u.numel() for u in updates])
            for p, update in zip(found, updates):
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.view_as(p), alpha=-group["lr"])

    def _update(self, p, momentum, mine):
        """The orthogonalised step of a matrix, zeros where another worker makes it."""
        g = p.grad.flatten(1)
        m = self.state[p].setdefault("momentum", torch.zeros_like(g))
        m.lerp_(g, 1 - momentum)
        if not mine:
            return torch.zeros_like(g)
        update = orthogonalise(g.lerp(m, momentum), self.dtype).to(g.dtype)
        return update * max(1, g.shape[0] / g.shape[1]) ** 0.5


def split_parameters(model):
    """Matrices for Muon; embeddings, norms, biases and heads for AdamW."""
    matrices, rest = [], []
    for name, p in model.named_parameters():
        (rest if p.dim() < 2 or "embed" in name or "head" in name else matrices).append(p)
    return matrices, rest
