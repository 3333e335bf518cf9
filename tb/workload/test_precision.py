"""Bit operations against the 54 savings that the Anda paper prints, and the precision file."""

import json

import pytest

from lamina_sim.workload.precision import Precision, bops, bops_saving, llama_macs, opt_macs

# Table II and figure 14 of the paper: tuple and saving, for WikiText2, PTB and C4 at 0.1 % and 1 %.
PUBLISHED = {
    "OPT-1.3B": "8655 2.74  8554 2.95  11,8,10,9 1.64  8776 2.31  9898 1.86  7676 2.43",
    "OPT-2.7B": "7555 2.91  6554 3.25  8687 2.13  6566 2.70  8787 2.11  6565 2.86",
    "OPT-6.7B": "7554 3.10  6454 3.31  8677 2.23  6565 2.86  8677 2.23  6564 3.05",
    "LLaMA-7B": "9887 1.99  7666 2.56  8777 2.21  6767 2.54  8678 2.16  6566 2.70",
    "LLaMA2-7B": "9788 1.96  7666 2.56  7886 2.19  7676 2.39  8688 2.04  6666 2.67",
    "OPT-13B": "7655 2.86  6654 3.20  9989 1.84  6666 2.67  8677 2.23  6565 2.86",
    "LLaMA-13B": "10,8,8,8 1.88  7566 2.59  8767 2.35  6666 2.67  8678 2.16  6566 2.70",
    "LLaMA2-13B": "10,10,8,9 1.80  7767 2.44  7456 2.84  6556 2.92  8778 2.14  6566 2.70",
    "OPT-30B": "7554 3.10  6454 3.31  8686 2.23  6565 2.86  7677 2.31  6464 3.09",
}
SHAPES = {
    "OPT-1.3B": opt_macs(2048, 8192),
    "OPT-2.7B": opt_macs(2560, 10240),
    "OPT-6.7B": opt_macs(4096, 16384),
    "OPT-13B": opt_macs(5120, 20480),
    "OPT-30B": opt_macs(7168, 28672),
    "LLaMA-7B": llama_macs(4096, 11008),
    "LLaMA2-7B": llama_macs(4096, 11008),
    "LLaMA-13B": llama_macs(5120, 13824),
    "LLaMA2-13B": llama_macs(5120, 13824),
}


def published():
    for model, row in PUBLISHED.items():
        fields = row.split()
        for tuple_, saving in zip(fields[::2], fields[1::2], strict=True):
            digits = tuple_.split(",") if "," in tuple_ else list(tuple_)
            yield model, tuple(map(int, digits)), float(saving)


def test_published_savings():
    rows = list(published())
    assert len(rows) == 54
    wrong = [
        (model, mantissas, saving)
        for model, mantissas, saving in rows
        if abs(bops_saving(SHAPES[model], mantissas) - saving) > 0.01
    ]
    assert not wrong


def test_savings_of_formats_with_one_length():
    macs = opt_macs(768, 3072)
    assert bops_saving(macs, (13,) * 4) == pytest.approx(1.23, abs=0.01)  # FIGNA
    assert bops_saving(macs, (4,) * 4) == 4  # VS-Quant
    assert bops(macs, (16,) * 4) == 64 * 12 * 768**2  # FP16 x INT4: 64 each


def test_grouped_query_attention_counts_what_there_is():
    assert llama_macs(128, 384, 64) == (32768, 16384, 98304, 49152)


def test_file_round_trip():
    for precision in (
        Precision.of((8, 7, 7, 6)),
        Precision.of(tuple(range(4, 12)), weight_bits=8, scale_group=None, planes={"lm_head": [3]}),
        Precision.of((8, 7, 7, 6), planes={"x": [3, 2]}, rows=8, reading="midpoint"),
    ):
        assert Precision.loads(json.dumps(precision.to_json())) == precision
    precision = Precision.of(tuple(range(4, 12)))
    assert precision.mantissa_bits("u", 1) == 10
    assert Precision.of((8, 7, 6, 5)).mantissa_bits("d", 30) == 5
    with pytest.raises(ValueError, match="layer must be below 2, not 2"):
        precision.mantissa_bits("u", 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be JSON"),
        ("[]", "an object of qkv, o, u, d"),
        ('{"mantissa_bits": {"qkv": 8}}', "an object of qkv, o, u, d"),
        ('{"mantissa_bits": []}', "one length for each of qkv"),
        ('{"mantissa_bits": {"qkv": 8, "o": 8, "u": 8, "d": 17}}', "between 1 and 16, not 17"),
        ('{"mantissa_bits": {"qkv": 8, "o": 8, "u": 8, "d": "8"}}', "integer, not '8'"),
        ('{"mantissa_bits": {"qkv": 8, "o": 8, "u": 8, "d": 8}, "weight_bits": 1}', "2 and 8"),
        ('{"mantissa_bits": {"qkv": 8, "o": 8, "u": 8, "d": 8}, "planes": {"x": [5]}}', "1 and 4"),
        (
            '{"mantissa_bits": {"qkv": 8, "o": 8, "u": 8, "d": 8}, "planes": {"x": [3, 3]}}',
            "one number per unit",
        ),
        ('{"mantissa_bits": {"qkv": 8, "o": 8, "u": 8, "d": 8}, "planes": 5}', "numbers by tensor"),
    ],
)
def test_bad_files(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Precision.loads(text)
