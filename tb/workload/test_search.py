"""The searches: the paper's by its published trace, ours by what it saves on known profiles."""

import itertools
import math

import pytest

from lamina_sim.workload.precision import bops, llama_macs, opt_macs
from lamina_sim.workload.search import guided_search, layer_search, paper_search

OPT_125M = opt_macs(768, 3072)
# Figure 9 of the paper, at 1 %: each tuple in the order of its evaluation, + where it passed.
PUBLISHED_TRACE = "4444- 5555- 6666- 7777+ 7767+ 7757- 7766+ 7756- 7765+ 7755-"


def published():
    return [(tuple(map(int, word[:4])), word[4] == "+") for word in PUBLISHED_TRACE.split()]


def answers(mantissas):
    """Losses that give the published answers; what the paper does not show is monotone."""
    known = dict(published())
    return 0.0 if known.get(mantissas, min(mantissas) > 7) else 1.0


def test_paper_search_reproduces_the_published_trace():
    outcome = paper_search(answers, OPT_125M, 0.01, iterations=10)
    assert [(step.mantissas, step.accepted) for step in outcome.trace] == published()
    assert outcome.best == (7, 7, 6, 5)


def test_paper_search_to_its_end_and_with_early_stop():
    # 26 and 13: what the published answers come to when the queue is worked off.
    whole = paper_search(answers, OPT_125M, 0.01)
    early = paper_search(answers, OPT_125M, 0.01, stop_early=True)
    assert (whole.evaluations, early.evaluations) == (26, 13)
    assert whole.best == early.best == (7, 7, 6, 5)
    assert early.trace == whole.trace[:13]


def test_iteration_limit_and_nothing_accepted():
    assert paper_search(answers, OPT_125M, 0.01, iterations=3).best is None
    for search in (paper_search, guided_search):
        outcome = search(lambda mantissas: math.nan, OPT_125M, 0.01)
        assert outcome.best is None
        assert outcome.saving is None
        assert 0 < outcome.evaluations <= 32


def test_trace_is_reported_as_it_grows():
    seen = []
    outcome = paper_search(answers, OPT_125M, 0.01, report=seen.append)
    assert seen == outcome.trace
    costs = [bops(OPT_125M, step.best) for step in seen if step.best]
    assert costs == sorted(costs, reverse=True)


def test_lengths_stay_at_one_at_least():
    for search in (guided_search, paper_search):
        outcome = search(lambda mantissas: 0.0, OPT_125M, 0.01, iterations=100)
        assert min(min(step.mantissas) for step in outcome.trace) >= 1
    assert outcome.best == (1, 1, 1, 1)  # of the paper's search


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_bad_tolerance(tolerance):
    for search in (paper_search, guided_search):
        with pytest.raises(ValueError, match="tolerance must be a number from 0"):
            search(answers, OPT_125M, tolerance)


class Profile:
    """A loss with sensitivities and decays per position, a cross term and a fixed ripple."""

    def __init__(self, sensitivity, decay, cross=0.0, ripple=0.0):
        self.sensitivity, self.decay = sensitivity, decay
        self.cross, self.ripple = cross, ripple

    def __call__(self, mantissas):
        parts = [
            c * math.exp(-d * m)
            for c, d, m in zip(self.sensitivity, self.decay, mantissas, strict=True)
        ]
        weights = (7, 11, 13, 17)
        phase = sum(w * m for w, m in zip(weights, mantissas, strict=True))
        total = sum(parts) + self.cross * math.sqrt(parts[0] * parts[3])
        return total * (1 + self.ripple * math.sin(phase))


# As in the paper: qkv is the most sensitive; d is tolerant in OPT, less so in LLaMA.
PROFILES = {
    "opt": (opt_macs(768, 3072), Profile((40, 12, 10, 2), (1.39,) * 4)),
    "llama": (
        llama_macs(4096, 11008),
        Profile((60, 14, 18, 12), (1.4, 1.3, 1.45, 1.35), ripple=0.03),
    ),
    "uneven": (
        opt_macs(2048, 8192),
        Profile((200, 3, 8, 0.4), (1.4, 1.4, 1.5, 1.3), cross=0.5, ripple=0.05),
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_guided_search_halves_the_evaluations(name):
    macs, profile = PROFILES[name]
    paper = paper_search(profile, macs, 0.01)
    ours = guided_search(profile, macs, 0.01)
    assert ours.cost(ours.best) <= paper.cost(paper.best)
    assert 2 * ours.evaluations <= paper.evaluations


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("tolerance", [0.001, 0.05])
def test_guided_search_is_near_the_optimum(name, tolerance):
    macs, profile = PROFILES[name]
    ours = guided_search(profile, macs, tolerance)
    assert profile(ours.best) <= tolerance
    assert all((profile(step.mantissas) <= tolerance) == step.accepted for step in ours.trace)
    least = min(
        bops(macs, mantissas)
        for mantissas in itertools.product(range(1, 14), repeat=4)
        if profile(mantissas) <= tolerance
    )
    assert ours.cost(ours.best) <= 1.08 * least


def test_layer_search_saves_more_where_layers_differ():
    macs = (3, 1, 4, 4) * 3
    sensitivity = [40, 12, 10, 2, 4, 1.2, 1, 0.2, 0.4, 0.1, 0.1, 0.02]

    def loss(mantissas):
        return sum(c * 4.0**-m for c, m in zip(sensitivity, mantissas, strict=True))

    start = (8, 7, 7, 6) * 3
    assert loss(start) <= 0.01
    outcome = layer_search(loss, macs, 0.01, start=start, start_loss=loss(start))
    assert loss(outcome.best) <= 0.01
    assert outcome.cost(outcome.best) < 0.9 * bops(macs, start)
    assert outcome.evaluations <= 1 + len(macs) + 6
    layers = [outcome.best[i : i + 4] for i in (0, 4, 8)]
    assert layers[0] > layers[1] > layers[2]


def test_layer_search_keeps_its_start_when_nothing_is_cheaper():
    start = (5, 5, 5, 5)

    def loss(mantissas):
        return 0.0 if min(mantissas) >= 5 else 1.0

    assert layer_search(loss, (1, 1, 1, 1), 0.01, start=start, start_loss=0.0).best == start
