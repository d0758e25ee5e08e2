// bfloat16 arithmetic with AVX-512 BF16: the small pieces that the kernels of this folder share.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace strop {

using bf16 = uint16_t;
constexpr int LANES = 16;  // float32 numbers of a register

inline __m512 load(const bf16* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}

inline __m512 load(const float* p) { return _mm512_loadu_ps(p); }

inline __m256i round16(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

inline void store(bf16* p, __m512 x) { _mm256_storeu_si256((__m256i*)p, round16(x)); }

inline void store(float* p, __m512 x) { _mm512_storeu_ps(p, x); }

inline __m512 every(float x) { return _mm512_set1_ps(x); }

inline float sum_of(__m512 x) { return _mm512_reduce_add_ps(x); }

inline float largest_of(__m512 x) { return _mm512_reduce_max_ps(x); }

// Two rows of 16 numbers as 16 pairs: what a dot-product instruction multiplies at once.
inline __m512i pairs(__m512 first, __m512 second) {
    const __m512i low = _mm512_cvtepu16_epi32(round16(first));
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(round16(second)), 16);
    return _mm512_or_si512(low, high);
}

inline __m512i pairs(const bf16* first, const bf16* second) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)first));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)second));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// e^x to 2 units in the last place of float32, for x <= 88; below -87 it is 0, and of what is no number it is none (the
// instruction for the larger of two gives the second where one is NaN, so what may be NaN stands second).
// 2^(x log2 e) = 2^n 2^f with |f| <= 1/2, and a polynomial for 2^f (Taylor coefficients of e^(f ln 2)).
inline __m512 exp(__m512 x) {
    const __mmask16 small = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_LT_OQ);
    x = _mm512_max_ps(_mm512_set1_ps(-88.0f), x);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504089f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);  // ln 2 in two parts (Cody and Waite)
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.0f / 720);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_mask_blend_ps(small, _mm512_scalef_ps(p, n), _mm512_setzero_ps());
}

}  // namespace strop
