// What is done to single rows of numbers in bfloat16: norm, rotation, gate. Kernels over many rows are made of these.
#pragma once
#include <cmath>

#include "bf16.h"

namespace strop {
namespace {

// y = x w / sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019), d a multiple of 16; the weight is bfloat16 or float32, and
// `offset` is added to it. Returns the factor 1 / sqrt(...).
template <class Weight>
inline float rms_norm_row(const bf16* x, const Weight* w, bf16* y, long d, float eps, float offset = 0) {
    __m512 sum = _mm512_setzero_ps();
    for (long j = 0; j < d; j += LANES) {
        const __m512 a = load(x + j);
        sum = _mm512_fmadd_ps(a, a, sum);
    }
    const float r = 1.f / std::sqrt(_mm512_reduce_add_ps(sum) / d + eps);
    const __m512 factor = _mm512_set1_ps(r), more = _mm512_set1_ps(offset);
    for (long j = 0; j < d; j += LANES)
        store(y + j, _mm512_mul_ps(_mm512_mul_ps(load(x + j), factor), _mm512_add_ps(load(w + j), more)));
    return r;
}

// y = x cos + rotate(x) sin, rotate(a, b) = (-b, a) over the halves of a head (Su et al. 2021, RoFormer), d a multiple of
// 32; x and y may be one. `back`: the transpose, for gradients, which takes the other half's sine.
inline void rotate_row(const bf16* x, const bf16* cos, const bf16* sin, bf16* y, long d, bool back = false) {
    const long half = d / 2;
    const __m512 sign = _mm512_set1_ps(back ? -1.f : 1.f);
    for (long j = 0; j < half; j += LANES) {
        const __m512 s1 = _mm512_mul_ps(sign, load(sin + j + (back ? half : 0)));
        const __m512 s2 = _mm512_mul_ps(sign, load(sin + j + (back ? 0 : half)));
        const __m512 a = load(x + j), b = load(x + half + j);
        store(y + j, _mm512_fmsub_ps(a, load(cos + j), _mm512_mul_ps(b, s1)));
        store(y + half + j, _mm512_fmadd_ps(b, load(cos + half + j), _mm512_mul_ps(a, s2)));
    }
}

// e^-x, at most e^80, but of -inf none: x / (1 + e^-x) is then NaN, as torch has it.
inline __m512 exp_minus(__m512 x) {
    const __m512 e = strop::exp(_mm512_min_ps(_mm512_set1_ps(80.f), _mm512_sub_ps(_mm512_setzero_ps(), x)));
    const __mmask16 none = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ);
    return _mm512_mask_mov_ps(e, none, _mm512_set1_ps(INFINITY));
}

// silu(a) b with silu(a) = a / (1 + e^-a) (SwiGLU, Shazeer 2020)
inline __m512 silu_gate(__m512 a, __m512 b) {
    return _mm512_mul_ps(_mm512_div_ps(a, _mm512_add_ps(_mm512_set1_ps(1.f), exp_minus(a))), b);
}

}  // namespace
}  // namespace strop
