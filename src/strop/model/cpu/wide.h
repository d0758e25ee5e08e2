// float32 numbers side by side, in the vector types of GCC and Clang: for any processor, as many as a register has.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace strop {
namespace {

#if defined(__AVX512F__)
constexpr int WIDE = 16;
#elif defined(__AVX__)
constexpr int WIDE = 8;
#else
constexpr int WIDE = 4;
#endif

template <int N>
struct Vector {
    typedef float floats __attribute__((vector_size(4 * N)));
    typedef int32_t ints __attribute__((vector_size(4 * N)));
};
using Wide = Vector<WIDE>::floats;
using Four = Vector<4>::floats;

// Lanes of a and, numbered after them, of b. The first of these builtins came to GCC with version 12.
template <int... Lanes, class V>
inline V picked(V a, V b) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(a, b, Lanes...);
#else
    return __builtin_shuffle(a, b, typename Vector<sizeof...(Lanes)>::ints{Lanes...});
#endif
}

template <class V = Wide>
inline V load(const float* p) {
    V x;
    __builtin_memcpy(&x, p, sizeof(V));
    return x;
}

template <class V>
inline void store(float* p, V x) {
    __builtin_memcpy(p, &x, sizeof(V));
}

template <class V = Wide>
inline V every(float x) {
    return x - V{};
}

// The sums of lanes 0, 4, 8 …, of 1, 5, 9 …, of 2, 6, 10 … and of 3, 7, 11 ….
inline Four quarters(Wide x) {
    Four part[WIDE / 4];
    __builtin_memcpy(part, &x, sizeof(x));
    for (int i = 1; i < WIDE / 4; i++) part[0] += part[i];
    return part[0];
}

// The sums of the lanes of a, b, c and d.
inline Four four_sums(Wide a, Wide b, Wide c, Wide d) {
    const Four e = quarters(a), f = quarters(b), g = quarters(c), h = quarters(d);
    const Four ef = picked<0, 4, 1, 5>(e, f) + picked<2, 6, 3, 7>(e, f);
    const Four gh = picked<0, 4, 1, 5>(g, h) + picked<2, 6, 3, 7>(g, h);
    return picked<0, 1, 4, 5>(ef, gh) + picked<2, 3, 6, 7>(ef, gh);
}

inline float sum_of(Wide x) {
    const Four s = quarters(x);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

inline float largest_of(Wide x) {
    float top = x[0];
    for (int i = 1; i < WIDE; i++) top = std::max(top, x[i]);
    return top;
}

// e^x to a few units in the last place, for x <= 88; below -87 it is 0, and of what is no number it is none.
// 2^(x log2 e) = 2^n 2^f with |f| <= 1/2, and a polynomial for 2^f (Taylor coefficients of e^(f ln 2)).
template <class V>
inline V exp(V x) {
    typedef typename Vector<sizeof(V) / 4>::ints I;
    const I small = x < -87.f;
    x = small ? every<V>(-87.f) : x;
    const V n = (x * 1.44269504089f + 12582912.f) - 12582912.f;  // 1.5 · 2^23 has no room for what is not whole
    V r = x - n * 0.693359375f;                                  // ln 2 in two parts (Cody and Waite)
    r += n * 2.12194440e-4f;
    V p = every<V>(1.f / 720);
    p = p * r + 1.f / 120;
    p = p * r + 1.f / 24;
    p = p * r + 1.f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.f;
    p = p * r + 1.f;
    const I power = (__builtin_convertvector(n, I) + 127) << 23;
    return (V)((I)(p * (V)power) & ~small);
}

}  // namespace
}  // namespace strop
