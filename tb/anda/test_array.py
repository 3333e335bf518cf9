import numpy as np
import pytest

from tb.anda.array_groups import random_array_groups, received_outputs
from tb.bench import bulk_model, parameters, seeds

SMALL = {"rows": 2, "columns": 8, "slots": 2, "sharing": 2, "stages_per_rank": 9}


def run(model, groups, stall=0.0, **options):
    p = groups.parameters
    units = -(-p.rows // p.sharing)
    beats = int(groups.end.sum()) * p.blocks * -(-p.rows // units)
    given = {"i": groups.beats(), "i_weights": groups.weights()}
    return model.run(given, outputs={"o": beats}, stall=stall, **options)["o"]


def check(settings, rng, count, stall=0.0, **options):
    p = parameters("anda.array", **settings)
    groups = random_array_groups(rng, p, count, **options)
    result = run(bulk_model("anda.array", **settings), groups, stall, seed=seeds("stall"))
    got, wanted = received_outputs(p, result.values), groups.outputs()
    assert np.array_equal(got, wanted)
    return groups, result


@pytest.mark.parametrize("planes", [1, 2, 4])
def test_planes(rng, planes):
    check(SMALL | {"planes": planes}, rng, 500)
