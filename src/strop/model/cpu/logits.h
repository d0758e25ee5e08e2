// What a model family does to logits, z = cap(scale * x) with cap(x) = c tanh(x / c), or x where c is 0; and ends of rows.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "numbers.h"

namespace strop {
namespace {

constexpr long STRETCH = 1024;  // of a vocabulary, whose sums are taken in float32

struct Transform {
    float scale, cap;

    // z and dz/dx
    void apply(Floats x, Floats& z, Floats& slope) const {
        z = x * scale;
        slope = every(scale);
        if (cap == 0) return;
        // tanh(a) = 1 - 2 / (e^(2a) + 1); beyond |a| = 20 it is 1 in float32, and of what is no number it is none
        const Floats most = every(20.f);
        Floats a = z / cap;
        a = a > most ? most : a;
        a = a < -most ? -most : a;
        const Floats t = 1.f - 2.f / (strop::exp(a + a) + 1.f);
        z = t * cap;
        slope = slope * (1.f - t * t);
    }

    float one(float x) const { return cap == 0 ? x * scale : cap * std::tanh(x * scale / cap); }
};

inline float number(float x) { return x; }

inline float number(uint16_t x) {  // a bfloat16
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}

// `n` numbers of `data`, all that are left of a row, and zeros after them where a vector holds more.
inline Floats some(const Number* data, long n) {
    if (n >= LANES) return load(data);
    float x[LANES];
    for (int i = 0; i < LANES; i++) x[i] = i < n ? number(data[i]) : 0;
    return load(x);
}

// With `other` in the lanes from n on.
inline Floats only(Floats x, long n, float other) {
    for (long i = n; i < LANES; i++) x[i] = other;
    return x;
}

}  // namespace
}  // namespace strop
