"""Distillation against a plain float64 loop, and what the divergence on a few tokens must not depend on."""

import math
from dataclasses import replace

import pytest
import torch

from strop.chat import Example
from strop.data.batch import make_batch
from strop.model.choices import top_logprobs
from strop.model.policy import Policy
from strop.model.precision import Compute
from strop.objectives.distillation import Distillation, divergence
from strop.objectives.distillation_settings import DistillationSettings

FLOAT32 = Compute(torch.device("cpu"), torch.float32)
V, S = 11, 6


def logits(seed, rows=S):
    return 2 * torch.randn(rows, V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(student, teacher, k, direction, temperature):
    """The divergences of one position after another, in Python floats, from logits."""

    def probabilities(row):
        exps = [math.exp(x / temperature) for x in row]
        return [x / sum(exps) for x in exps]

    found = []
    for one, other in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = probabilities(one), probabilities(other)
        top = sorted(range(V), key=lambda v: -p[v])[:k]
        pairs = [(p[v], q[v]) for v in top]
        if k < V:
            pairs.append((1 - sum(p[v] for v in top), 1 - sum(q[v] for v in top)))
        pairs = pairs if direction == "forward" else [(b, a) for a, b in pairs]
        found.append(sum(a * math.log(a / b) for a, b in pairs))
    return found


def of_top(student, teacher, k, temperature):
    student, teacher = ((x / temperature).log_softmax(-1) for x in (student, teacher))
    top = teacher.topk(k, -1)
    return student.gather(-1, top.indices), top.values


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("k", [1, 4, V])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_value_and_gradient_equal_a_plain_loop(direction, k, temperature):
    student, teacher = logits(1).requires_grad_(), logits(2)
    own, theirs = of_top(student, teacher, k, temperature)
    settings = DistillationSettings(divergence=direction, temperature=temperature)
    weights = torch.tensor([1.0, 1, 0.5, 2, 1, 1])
    batch = rows_with(weights, theirs)
    objective = Distillation(settings)
    parts, whole = objective.loss({"choice_logprobs": own}, batch), objective.normalisers(batch)
    loss = parts["distillation"] / whole["distillation"]
    loss.backward()

    def expected(moved):
        told = plain(moved, teacher, k, direction, temperature)
        return temperature**2 * sum(w * x for w, x in zip(weights.tolist(), told, strict=True)) / weights.sum().item()

    assert loss.item() == pytest.approx(expected(student.detach()), rel=1e-6)
    step, got = 1e-5, torch.empty(S, V, dtype=torch.float64)
    for i in range(S):
        for v in range(V):
            moved = [student.detach().clone() for _ in range(2)]
            moved[0][i, v] += step
            moved[1][i, v] -= step
            got[i, v] = (expected(moved[0]) - expected(moved[1])) / (2 * step)
    torch.testing.assert_close(student.grad, got, rtol=1e-4, atol=1e-7)


def rows_with(weights, theirs, given=1.0):
    example = Example([0, *range(len(weights))], [0.0, *weights.tolist()], "t", (), ())
    streams = {"teacher_logprobs": theirs, "given": torch.full((len(weights),), given)}
    return replace(make_batch([example]), streams=streams)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_more_tokens_say_more_and_all_of_them_everything(direction):
    whole = plain(logits(1), logits(2), V, direction, 1.0)
    before = torch.zeros(S, dtype=torch.float64)
    for k in (1, 2, 5, V):
        now = divergence(*of_top(logits(1), logits(2), k, 1.0), direction)
        assert (now >= before - 1e-9).all()
        before = now
    assert now.tolist() == pytest.approx(whole, rel=1e-5)
    same = divergence(*of_top(logits(1), logits(1), 3, 1.0), direction)
    assert same.abs().max() < 1e-12


def test_the_mean_does_not_depend_on_rows_and_sft_is_of_the_datas_own_tokens():
    settings = DistillationSettings(sft_weight=0.5)
    objective, weights = Distillation(settings), torch.ones(S)
    own, theirs = of_top(logits(1), logits(2), 3, 1.0)
    logprobs = -torch.arange(1.0, S + 1)

    def total(cuts):
        parts, whole = {}, {}
        for cut, given in cuts:
            batch = rows_with(weights[cut], theirs[cut], given)
            outputs = {"choice_logprobs": own[cut], "logprobs": logprobs[cut]}
            for name, part in objective.loss(outputs, batch).items():
                parts[name] = parts.get(name, 0.0) + part.item()
            for name, count in objective.normalisers(batch).items():
                whole[name] = whole.get(name, 0.0) + count
        return {name: parts[name] / whole[name] for name in parts}

    assert total([(slice(0, 2), 1.0), (slice(2, S), 1.0)]) == pytest.approx(total([(slice(0, S), 1.0)]))
    assert total([(slice(0, 2), 1.0), (slice(2, S), 0.0)])["sft"] == pytest.approx(0.5 * 1.5)  # of tokens 1 and 2


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_policys_choices_equal_its_own_logits_in_value_and_gradient(make_model, temperature, monkeypatch):
    monkeypatch.setattr("strop.model.choices._chunks", lambda count, _: [(0, 3), (3, count)])
    model, other = make_model(), make_model()
    policy = Policy(model, FLOAT32, probe=False)
    rows = [Example(list(range(5, 14)), [0.0] * 3 + [1.0] * 6, "t", (), ()) for _ in range(2)]
    batch = make_batch(rows)
    ids, values = top_logprobs(policy, batch, 7, temperature)
    streams = {"choices": ids, "choice_temperature": torch.full((len(ids),), temperature)}
    batch = replace(batch, streams=streams)
    weight = torch.randn(ids.shape, generator=torch.Generator().manual_seed(0))

    def gradients(network, logprobs):
        (logprobs * weight).sum().backward()
        return [p.grad for p in network.parameters()]

    found = policy(batch, ("choice_logprobs",))["choice_logprobs"]
    got = gradients(model, found)
    alone = other(torch.tensor([rows[0].tokens])).logits[0].double()[2:8] / temperature
    plain = torch.cat([alone.log_softmax(-1)] * 2)
    torch.testing.assert_close(found.double(), plain.gather(-1, ids), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(values.double(), plain.topk(7, -1).values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got, gradients(other, plain.gather(-1, ids)), atol=1e-4, rtol=1e-4)


def test_rows_of_a_matrix_beyond_the_tokenizer_are_no_tokens(make_model):
    policy = Policy(make_model(), FLOAT32, probe=False)
    batch = make_batch([Example(list(range(5, 14)), [0.0] * 3 + [1.0] * 6, "t", (), ())])
    ids, values = top_logprobs(policy, batch, 40, 1.0, vocabulary=40)
    assert ids.max() < 40
    assert values.exp().sum(-1).tolist() == pytest.approx([1.0] * 6, abs=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_student_that_can_be_the_teacher_becomes_it(make_model, direction):
    """A tiny vocabulary, contexts of both models' own making: the divergence falls to nearly nothing."""
    student, teacher = (Policy(make_model(seed, vocab_size=12), FLOAT32, probe=False) for seed in (0, 1))
    rows = [Example([3, *range(a, a + 6)], [0.0] + [1.0] * 6, "t", (), ()) for a in (1, 4, 6)]
    batch = make_batch(rows)
    ids, values = top_logprobs(teacher, batch, 5)
    ones = torch.ones(len(ids))
    streams = {"choices": ids, "teacher_logprobs": values, "choice_temperature": ones, "given": ones}
    batch = replace(batch, streams=streams)
    objective = Distillation(DistillationSettings(divergence=direction))
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    for _ in range(150):
        outputs = student(batch, objective.want)
        optimizer.zero_grad()
        loss = objective.loss(outputs, batch)["distillation"] / len(ids)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        outputs = student(batch, objective.want)
    told = {name: (total / count).item() for name, (total, count) in objective.metrics(outputs, batch).items()}
    assert told["kl"] < 1e-3
    assert told["agreement"] == 1.0
    torch.testing.assert_close(outputs["choice_logprobs"].exp(), values.exp(), atol=0.05, rtol=0)
