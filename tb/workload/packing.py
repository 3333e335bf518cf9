"""Packs random codes as GPTQ and AWQ checkpoints have them, by the published loops."""

import numpy as np

K, N = 64, 32
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
PRODUCTS = [f"self_attn.{n}_proj" for n in "qkvo"] + [
    f"mlp.{n}_proj" for n in ("gate", "up", "down")
]


def pack_rows(codes, bits):
    """Codes [k, n] to int32 [k * bits / 32, n], by AutoGPTQ's loops."""
    words = np.zeros((len(codes) * bits // 32, codes.shape[1]), np.uint64)
    i = row = 0
    codes = codes.astype(np.uint64)
    while row < len(words):
        if bits != 3:
            for j in range(i, i + 32 // bits):
                words[row] |= codes[j] << np.uint64(bits * (j - i))
            i += 32 // bits
            row += 1
            continue
        for j in range(i, i + 10):
            words[row] |= codes[j] << np.uint64(3 * (j - i))
        i += 10
        words[row] |= codes[i] << np.uint64(30)
        row += 1
        words[row] |= (codes[i] >> np.uint64(2)) & np.uint64(1)
        i += 1
        for j in range(i, i + 10):
            words[row] |= codes[j] << np.uint64(3 * (j - i) + 1)
        i += 10
        words[row] |= codes[i] << np.uint64(31)
        row += 1
        words[row] |= (codes[i] >> np.uint64(1)) & np.uint64(3)
        i += 1
        for j in range(i, i + 10):
            words[row] |= codes[j] << np.uint64(3 * (j - i) + 2)
        i += 10
        row += 1
    return (words & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)


def pack_awq(codes):
    """Codes [rows, n] to int32 [rows, n / 8]."""
    words = np.zeros((len(codes), codes.shape[1] // 8), np.uint32)
    for column in range(words.shape[1]):
        for place in range(8):
            value = codes[:, 8 * column + AWQ_ORDER[place]].astype(np.uint32)
            words[:, column] |= value << np.uint32(4 * place)
    return words.view(np.int32)


def gptq(name, rng, bits=4, group=32, ordered=False, minus_one=True, k=K, n=N):
    """Tensors of a GPTQ product and the weights [n, k] that they stand for."""
    codes = rng.integers(0, 1 << bits, (k, n))
    zeros = rng.integers(0, 1 << bits, (k // group, n))
    scales = rng.uniform(0.02, 0.1, zeros.shape).astype(np.float16)
    owner = np.arange(k) // group
    owner = rng.permutation(owner) if ordered else owner
    weights = (codes - zeros[owner]) * scales[owner].astype(np.float64)
    stored = (zeros - 1) % (1 << bits) if minus_one else zeros
    tensors = {
        f"{name}.qweight": pack_rows(codes, bits),
        f"{name}.qzeros": np.ascontiguousarray(pack_rows(stored.T, bits).T),
        f"{name}.scales": scales,
        f"{name}.g_idx": owner.astype(np.int32),
    }
    return tensors, weights.T


def awq(name, rng, group=32, k=K, n=N):
    codes, zeros = rng.integers(0, 16, (k, n)), rng.integers(0, 16, (k // group, n))
    scales = rng.uniform(0.02, 0.1, zeros.shape).astype(np.float16)
    weights = (codes - np.repeat(zeros, group, 0)) * np.repeat(scales, group, 0).astype(np.float64)
    parts = {"qweight": pack_awq(codes), "qzeros": pack_awq(zeros), "scales": scales}
    return {f"{name}.{part}": tensor for part, tensor in parts.items()}, weights.T
