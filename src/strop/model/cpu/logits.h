// What a model family does to logits, z = cap(scale * x) with cap(x) = c tanh(x / c), or x where c is 0; and ends of rows.
#pragma once
#include <algorithm>
#include <cmath>

#include "bf16.h"

namespace strop {
namespace {

struct Transform {
    float scale, cap;

    // z and dz/dx of 16 numbers
    void apply(__m512 x, __m512& z, __m512& slope) const {
        z = _mm512_mul_ps(x, _mm512_set1_ps(scale));
        slope = _mm512_set1_ps(scale);
        if (cap == 0) return;
        // tanh(a) = 1 - 2 / (e^(2a) + 1); beyond |a| = 20 it is 1 in float32
        __m512 a = _mm512_div_ps(z, _mm512_set1_ps(cap));
        a = _mm512_max_ps(_mm512_set1_ps(-20.f), _mm512_min_ps(_mm512_set1_ps(20.f), a));  // NaN stays: see exp
        const __m512 one = _mm512_set1_ps(1.f);
        const __m512 e = strop::exp(_mm512_add_ps(a, a));
        const __m512 t = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.f), _mm512_add_ps(e, one)));
        z = _mm512_mul_ps(t, _mm512_set1_ps(cap));
        slope = _mm512_mul_ps(slope, _mm512_fnmadd_ps(t, t, one));
    }

    float one(float x) const { return cap == 0 ? x * scale : cap * std::tanh(x * scale / cap); }
};

inline float number(bf16 x) {
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}

// The last, shorter part of a row: `n` numbers of `data`, and `other` in the lanes after them.
inline __m512 tail(const bf16* data, int n, float other) {
    alignas(64) float x[LANES];
    for (int i = 0; i < LANES; i++) x[i] = i < n ? number(data[i]) : other;
    return _mm512_load_ps(x);
}

}  // namespace
}  // namespace strop
