// Products of few rows with a weight as it lies in memory, [n, k] row by row, in bfloat16 with float32 sums.
//
// A vector runs along k; the sums of a tile of up to 6 rows x 4 columns are kept at once and added up across their lanes at
// the end. So nothing is laid out anew: a trainer's weights can be used as they are at every step. The order of additions
// within a sum does not depend on how many rows there are, so a row's result is the same to the bit in every batch.
#pragma once
#include <algorithm>
#include <array>
#include <tuple>
#include <utility>
#include <vector>

#include "bf16.h"
#include "operands.h"

namespace strop {
namespace {

// Lane i of the result is the sum of the lanes of x[i].
inline __m512 sums_of(const __m512 (&x)[LANES]) {
    static constexpr int FROM[LANES] = {0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15};
    __m512 v[LANES];
    for (int i = 0; i < LANES; i++) v[FROM[i]] = x[i];
    for (int i = 0; i < 8; i++)
        v[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 8], 0x44), _mm512_shuffle_f32x4(v[i], v[i + 8], 0xee));
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 4], 0x88), _mm512_shuffle_f32x4(v[i], v[i + 4], 0xdd));
    for (int i = 0; i < 2; i++)
        v[i] = _mm512_add_ps(_mm512_shuffle_ps(v[i], v[i + 2], 0x44), _mm512_shuffle_ps(v[i], v[i + 2], 0xee));
    return _mm512_add_ps(_mm512_shuffle_ps(v[0], v[1], 0x88), _mm512_shuffle_ps(v[0], v[1], 0xdd));
}

inline __m512bh pairs_at(const bf16* p) { return (__m512bh)_mm512_loadu_si512(p); }

// The sums of the lanes of a, b, c and d.
inline __m128 four_sums(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

constexpr int COLUMNS = 4;

template <int R>
inline void add_products(const bf16* x, long ldx, const bf16* w, long k, __m512 (&sum)[R][COLUMNS]) {
    for (long i = 0; i < k; i += 2 * LANES) {
        __m512bh right[COLUMNS];
        for (int j = 0; j < COLUMNS; j++) right[j] = pairs_at(w + j * k + i);
        for (int r = 0; r < R; r++) {
            const __m512bh left = pairs_at(x + r * ldx + i);
            for (int j = 0; j < COLUMNS; j++) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], left, right[j]);
        }
    }
}

// sums[r]: the products of row `row + r` of x with four rows of the weight from `column` on; k and the rank are multiples
// of 32.
template <int R>
inline void tile(const bf16* x, long ldx, long row, const Weight<bf16>& w, long column, long k, __m128* sums) {
    __m512 sum[R][COLUMNS];
    for (auto& line : sum)
        for (auto& s : line) s = _mm512_setzero_ps();
    add_products<R>(x + row * ldx, ldx, w.w + (column - w.from) * k, k, sum);
    for (int j = 0; w.scale && j < COLUMNS; j++) {
        const __m512 scale = _mm512_set1_ps(w.scale[column + j]);
        for (auto& line : sum) line[j] = _mm512_mul_ps(line[j], scale);
    }
    if (w.rank) add_products<R>(w.low + row * w.rank, w.rank, w.b + column * w.rank, w.rank, sum);
    for (int r = 0; r < R; r++) sums[r] = four_sums(sum[r][0], sum[r][1], sum[r][2], sum[r][3]);
}

// Numbers of R <= 4 rows x 4 columns, row by row, to and from memory in which rows are `stride` apart.
template <int R>
inline void put(__m512 x, bf16* out, long stride) {
    alignas(32) bf16 rounded[LANES];
    store(rounded, x);
    for (int r = 0; r < R; r++) std::memcpy(out + r * stride, rounded + r * COLUMNS, sizeof(bf16) * COLUMNS);
}

template <int R>
inline void put(__m512 x, float* out, long stride) {
    alignas(64) float all[LANES];
    _mm512_store_ps(all, x);
    for (int r = 0; r < R; r++) std::memcpy(out + r * stride, all + r * COLUMNS, sizeof(float) * COLUMNS);
}

template <int R>
inline __m512 get(const bf16* from, long stride) {
    alignas(32) bf16 x[LANES] = {};
    for (int r = 0; r < R; r++) std::memcpy(x + r * COLUMNS, from + r * stride, sizeof(bf16) * COLUMNS);
    return load(x);
}

// R <= 4 rows of four sums as one vector
template <int R>
inline __m512 rows_of(const __m128* sums) {
    __m512 x = _mm512_castps128_ps512(sums[0]);
    if constexpr (R > 1) x = _mm512_insertf32x4(x, sums[1], 1);
    if constexpr (R > 2) x = _mm512_insertf32x4(_mm512_insertf32x4(x, sums[2], 2), sums[3], 3);
    return x;
}

inline __m512 rounded(__m512 x) {
    alignas(32) bf16 y[LANES];
    store(y, x);
    return load(y);
}

constexpr long ROWS = 256;  // of x at once: they stay in the second cache while the weight passes

// One tile for each of the weights, handed to `done` as vectors of R rows x 4 columns: 4 rows and, of six, 2 more.
template <int R, class Done, class... Weights>
inline void tiles(const bf16* x, long ldx, long row, long column, long k, Done& done, const Weights&... w) {
    constexpr int FIRST = R < 4 ? R : 4;
    __m128 sums[sizeof...(w)][R];
    int i = 0;
    (tile<R>(x, ldx, row, w, column, k, sums[i++]), ...);
    [&]<size_t... I>(std::index_sequence<I...>) {
        done.template operator()<FIRST>(row, column, rows_of<FIRST>(sums[I])...);
        if constexpr (R > 4) done.template operator()<R - 4>(row + 4, column, rows_of<R - 4>(sums[I] + 4)...);
    }(std::make_index_sequence<sizeof...(w)>{});
}

// The panel of a weight in bfloat16, in `room` where it is integers (all of them have one that is exact).
inline Weight<bf16> panel_of(Weight<bf16> w, long panel, long k, bf16* room) {
    if (!w.q) return w;
    for (long i = 0; i < PANEL * k; i += 2 * LANES) {
        const int8_t* q = w.q + panel * k + i;
        const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)q)));
        const __m512 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)(q + LANES))));
        _mm512_storeu_si512(room + i, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    w.w = room, w.from = panel;
    return w;
}

// Calls `done.operator()<R>(row, column, the first weight's numbers, others' ...)` for all of rows [0, m) and columns
// [from, to), multiples of 16, of the products of x with each of the weights.
template <class Done, class... Weights>
void products(const bf16* x, long ldx, long m, long k, long from, long to, Done done, Weights... w) {
    thread_local std::vector<bf16> room;
    if ((w.q || ...)) room.resize(sizeof...(w) * PANEL * k);
    for (long top = 0; top < m; top += ROWS) {
        const long bottom = std::min(m, top + ROWS);
        for (long panel = from; panel < to; panel += PANEL) {
            long i = 0;
            const std::array here{panel_of(w, panel, k, room.data() + i++ * PANEL * k)...};
            const auto across = [&]<int R>(long row) {
                for (long j = panel; j < panel + PANEL; j += COLUMNS)
                    std::apply([&](const auto&... one) { tiles<R>(x, ldx, row, j, k, done, one...); }, here);
            };
            long row = top;
            for (; row + 6 <= bottom; row += 6) across.template operator()<6>(row);
            for (; row + 4 <= bottom; row += 4) across.template operator()<4>(row);
            for (; row + 2 <= bottom; row += 2) across.template operator()<2>(row);
            if (row < bottom) across.template operator()<1>(row);
        }
    }
}

}  // namespace
}  // namespace strop
