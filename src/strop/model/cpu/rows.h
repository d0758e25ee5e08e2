// What is done to single rows of numbers: norm, rotation, gate. Kernels over many rows are made of these.
#pragma once
#include <cmath>

#include "numbers.h"

namespace strop {
namespace {

// y = x w / sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019), d a multiple of 16; the weight is of the same numbers or
// float32, and `offset` is added to it. Returns the factor 1 / sqrt(...).
template <class Weight>
inline float rms_norm_row(const Number* x, const Weight* w, Number* y, long d, float eps, float offset = 0) {
    Floats sum{};
    for (long j = 0; j < d; j += LANES) {
        const Floats a = load(x + j);
        sum += a * a;
    }
    const float r = 1.f / std::sqrt(sum_of(sum) / d + eps);
    for (long j = 0; j < d; j += LANES) store(y + j, load(x + j) * r * (load(w + j) + offset));
    return r;
}

// y = x cos + rotate(x) sin, rotate(a, b) = (-b, a) over the halves of a head (Su et al. 2021, RoFormer), d a multiple of
// 32; x and y may be one. `back`: the transpose, for gradients, which takes the other half's sine.
inline void rotate_row(const Number* x, const Number* cos, const Number* sin, Number* y, long d, bool back = false) {
    const long half = d / 2;
    const float sign = back ? -1.f : 1.f;
    for (long j = 0; j < half; j += LANES) {
        const Floats s1 = sign * load(sin + j + (back ? half : 0)), s2 = sign * load(sin + j + (back ? 0 : half));
        const Floats a = load(x + j), b = load(x + half + j);
        store(y + j, a * load(cos + j) - b * s1);
        store(y + half + j, a * s2 + b * load(cos + half + j));
    }
}

// e^-x, of less than -88 infinity, as torch has it: x / (1 + e^-x) is then 0, or NaN for -inf.
inline Floats exp_minus(Floats x) {
    const Floats most = every(88.f);
    return -x > most ? every(INFINITY) : strop::exp(-x > most ? most : -x);
}

// silu(a) b with silu(a) = a / (1 + e^-a) (SwiGLU, Shazeer 2020)
inline Floats silu_gate(Floats a, Floats b) { return a / (1.f + exp_minus(a)) * b; }

}  // namespace
}  // namespace strop
