// Products of tiles in bfloat16 with float32 sums, and the two orders in which tiles are laid out for them.
//
// The dot-product instruction multiplies 16 pairs at once, so an operand is either rows as they are (pairs along them) or
// laid out in pairs: `interleave` pairs neighbouring rows, `transpose` neighbouring columns.
#pragma once
#include <algorithm>

#include "bf16.h"
#include "visible.h"

namespace strop {
namespace {

struct Rows {  // one head of a tensor
    const bf16* data;
    long stride;
    const bf16* row(long i) const { return data + i * stride; }
};

// C[R, 16 J] (+)= A B. A is addressed in pairs of numbers: row r, pair p at a[r * row + p * step]. B holds, for each pair,
// 16 J of them one after another, `width` apart from one pair to the next.
template <int R, int J>
inline void block(const int32_t* a, long row, long step, const int32_t* b, long width, float* c, long ldc, int n, bool add) {
    __m512 sum[R][J];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < J; j++) sum[r][j] = add ? _mm512_loadu_ps(c + r * ldc + j * LANES) : _mm512_setzero_ps();
    for (int p = 0; p < n; p++) {
        __m512bh right[J];
        for (int j = 0; j < J; j++) right[j] = (__m512bh)_mm512_loadu_si512(b + p * width + j * LANES);
        for (int r = 0; r < R; r++) {
            const __m512bh left = (__m512bh)_mm512_set1_epi32(a[r * row + p * step]);
            for (int j = 0; j < J; j++) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], left, right[j]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < J; j++) _mm512_storeu_ps(c + r * ldc + j * LANES, sum[r][j]);
}

template <int J>
void panel(const int32_t* a, long row, long step, const int32_t* b, long width, float* c, long ldc, int m, int n, bool add) {
    int r = 0;
    for (; r + 6 <= m; r += 6) block<6, J>(a + r * row, row, step, b, width, c + r * ldc, ldc, n, add);
    for (; r + 2 <= m; r += 2) block<2, J>(a + r * row, row, step, b, width, c + r * ldc, ldc, n, add);
    if (r < m) block<1, J>(a + r * row, row, step, b, width, c + r * ldc, ldc, n, add);
}

// C[m, columns] (+)= A[m, 2n] B[2n, columns], columns a multiple of 16.
void product(const void* left, long row, long step, const int32_t* b, float* c, int m, int columns, int n, bool add) {
    const int32_t* a = (const int32_t*)left;
    for (int j = 0; j < columns; j += TILE) {
        switch (std::min(TILE, columns - j) / LANES) {
            case 4: panel<4>(a, row, step, b + j, columns, c + j, columns, m, n, add); break;
            case 3: panel<3>(a, row, step, b + j, columns, c + j, columns, m, n, add); break;
            case 2: panel<2>(a, row, step, b + j, columns, c + j, columns, m, n, add); break;
            default: panel<1>(a, row, step, b + j, columns, c + j, columns, m, n, add);
        }
    }
}

// Rows two by two as pairs: out[i / 2][d] = (x[i][d], x[i + 1][d]); a row beyond `n` counts as zeros.
void interleave(Rows x, int n, int d, int32_t* out) {
    static const bf16 zeros[MAX_D] = {};
    for (int i = 0; i < n; i += 2) {
        const bf16* first = x.row(i);
        const bf16* second = i + 1 < n ? x.row(i + 1) : zeros;
        for (int j = 0; j < d; j += LANES) _mm512_storeu_si512(out + i / 2 * d + j, pairs(first + j, second + j));
    }
}

// 16 x 16 numbers of 32 bits, rows becoming columns: first within blocks of 4 x 4, then the blocks.
void transpose16(__m512i r[LANES]) {
    __m512i t[LANES];
    for (int i = 0; i < LANES; i += 4) {
        const __m512i a = _mm512_unpacklo_epi32(r[i], r[i + 1]), b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
        const __m512i c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]), d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, c), t[i + 1] = _mm512_unpackhi_epi64(a, c);
        t[i + 2] = _mm512_unpacklo_epi64(b, d), t[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) {
        const __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
        const __m512i c = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd), d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
        r[i] = _mm512_shuffle_i32x4(a, b, 0x88), r[i + 8] = _mm512_shuffle_i32x4(a, b, 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(c, d, 0x88), r[i + 12] = _mm512_shuffle_i32x4(c, d, 0xdd);
    }
}

// out[d / 2][i] = (x[i][d], x[i][d + 1]) for TILE rows; those beyond `n` are zeros.
void transpose(Rows x, int n, int d, int32_t* out) {
    for (int i = 0; i < TILE; i += LANES) {
        for (int p = 0; p < d / 2; p += LANES) {
            const __mmask16 there = (__mmask16)((1u << std::min(LANES, d / 2 - p)) - 1);
            __m512i r[LANES];
            for (int k = 0; k < LANES; k++)
                r[k] = i + k < n ? _mm512_maskz_loadu_epi32(there, (const int32_t*)x.row(i + k) + p) : _mm512_setzero_si512();
            transpose16(r);
            for (int k = 0; k < LANES && p + k < d / 2; k++) _mm512_storeu_si512(out + (p + k) * TILE + i, r[k]);
        }
    }
}

}  // namespace
}  // namespace strop
