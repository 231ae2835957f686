"""Muon against torch's own, and what it leaves to AdamW."""

import copy

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from llmctl.training.muon import Muon, orthogonalised, parameter_groups
from tests import tiny


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 32), (1, 4, 64)])
def test_singular_values_become_alike_and_directions_stay(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    found = orthogonalised(matrices)
    assert found.dtype == torch.float32
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3
    assert values.max() < 1.3
    for matrix, result in zip(matrices, found, strict=True):
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        diagonal = left.T @ result @ right.T
        assert torch.allclose(diagonal, torch.diag(diagonal.diag()), atol=1e-4)


def test_a_matrix_of_zeros_stays_one() -> None:
    assert not orthogonalised(torch.zeros(1, 3, 5)).any()


@pytest.mark.parametrize("shape", [(6, 6), (4, 10), (10, 4)])
def test_steps_are_those_of_torch(shape: tuple[int, int]) -> None:
    """Up to bfloat16, in which torch computes."""
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = copy.deepcopy(ours)
    settings = {"lr": 0.02, "weight_decay": 0.1}
    optimizers = (
        Muon([{"params": [ours], "orthogonal": True}], **settings),
        torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings),
    )
    began = ours.detach().clone()
    for _ in range(5):
        gradient = torch.randn(shape)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved, difference = (ours - began).norm(), (ours - theirs).norm()
    assert difference < 0.02 * moved


def test_other_groups_are_updated_by_adamw() -> None:
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(7))
    theirs = copy.deepcopy(ours)
    matrix = nn.Parameter(torch.randn(3, 3))
    groups = [{"params": [matrix], "orthogonal": True}, {"params": [ours], "weight_decay": 0.0}]
    optimizers = (
        Muon(groups, lr=0.1, weight_decay=0.1),
        torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.0),
    )
    for _ in range(3):
        matrix.grad = torch.randn(3, 3)
        ours.grad = torch.randn(7)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert "exp_avg" not in optimizers[0].state[matrix]


def test_its_state_is_saved_and_loaded() -> None:
    def trained(steps: int, optimizer: Muon, parameter: nn.Parameter) -> None:
        for step in range(steps):
            parameter.grad = torch.full((2, 3), float(step + 1)).tril()
            optimizer.step()

    whole = nn.Parameter(torch.ones(2, 3))
    trained(2, first := Muon([{"params": [whole], "orthogonal": True}], lr=0.1), whole)
    resumed = nn.Parameter(whole.detach().clone())
    second = Muon([{"params": [resumed], "orthogonal": True}], lr=0.1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for parameter, optimizer in ((whole, first), (resumed, second)):
        trained(3, optimizer, parameter)
    assert torch.equal(whole, resumed)


def names(model: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return {known[id(parameter)] for parameter in parameters}


def bert() -> BertForMaskedLM:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertForMaskedLM(BertConfig(vocab_size=20, **sizes))


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.llama, bert])
def test_only_matrices_of_layers_are_made_orthogonal(make: type[nn.Module]) -> None:
    model = make()
    frozen = next(iter(model.parameters()))
    frozen.requires_grad = False
    decayed = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    matrices, others, rest = (
        names(model, group["params"]) for group in parameter_groups(model, decayed, 0.1)
    )
    assert matrices
    assert all("layer" in name or ".h." in name or "transform" in name for name in matrices)
    assert all(any(part in name for part in ("emb", "wpe", "wte", "lm_head")) for name in others)
    assert matrices | others | rest == {n for n, p in model.named_parameters() if p.requires_grad}
