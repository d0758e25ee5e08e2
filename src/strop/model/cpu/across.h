// Products of many rows with a weight as it lies in memory, in float32: a vector runs across rows.
//
// A vector along k (decoder_f32.cpp) is added up across its lanes for every row and column, and reads each row anew for every
// four columns; for many rows that takes longer than the products. Here a number of the weight is multiplied with as many rows as
// registers hold. The order of additions is that of a vector along k: what would be its lanes are summed up one after the
// other, and added as `four_sums` adds lanes. So a row's result is the same to the bit whichever way it took.
#pragma once
#include <utility>

#include "operands.h"
#include "wide.h"

namespace strop {
namespace {

constexpr int ABREAST = WIDE == 16 ? 8 : 4;  // columns: with two vectors of rows their sums stay in registers
constexpr long NEAR = 6144;  // numbers of the weight that stay in the first cache while lanes pass

// Lane l of row i changes places with lane i of row l, for i and l that differ in the bit S alone; all bits: transposed.
template <int S, int... L>
inline void swap_lanes(Wide (&x)[WIDE], std::integer_sequence<int, L...>) {
    for (int i = 0; i < WIDE; i++) {
        if (i & S) continue;
        const Wide a = x[i], b = x[i + S];
        x[i] = picked<(L & S ? WIDE + L - S : L)...>(a, b);
        x[i + S] = picked<(L & S ? WIDE + L : L + S)...>(a, b);
    }
}

inline void transpose(Wide (&x)[WIDE]) {
    constexpr auto lanes = std::make_integer_sequence<int, WIDE>{};
    swap_lanes<1>(x, lanes);
    swap_lanes<2>(x, lanes);
    if constexpr (WIDE > 4) swap_lanes<4>(x, lanes);
    if constexpr (WIDE > 8) swap_lanes<8>(x, lanes);
}

// out [WIDE, k / WIDE, V WIDE]: lane by lane of vectors along k, the rows' numbers beside each other; rows beyond m are zeros.
template <int V>
void by_lanes(const float* x, long ldx, long m, long k, float* out) {
    for (long i = 0; i < k / WIDE; i++) {
        for (int v = 0; v < V; v++) {
            Wide lanes[WIDE];
            for (int r = 0; r < WIDE; r++) lanes[r] = v * WIDE + r < m ? load(x + (v * WIDE + r) * ldx + i * WIDE) : Wide{};
            transpose(lanes);
            for (int l = 0; l < WIDE; l++) store(out + ((l * (k / WIDE) + i) * V + v) * WIDE, lanes[l]);
        }
    }
}

// One lane's part of the products of V WIDE rows with C columns: n numbers of each, WIDE apart in the weight. What comes
// next, C numbers at a time, is fetched from memory meanwhile.
template <int V, int C>
inline void add_lane(const float* x, const float* w, long k, long n, const float* next, Wide (&sum)[C][V]) {
    for (long i = 0; i < n; i++) {
        __builtin_prefetch(next + i * C, 0, 2);
        Wide left[V];
        for (int v = 0; v < V; v++) left[v] = load(x + (i * V + v) * WIDE);
        for (int c = 0; c < C; c++) {
            const Wide right = every<Wide>(w[c * k + i * WIDE]);
            for (int v = 0; v < V; v++) sum[c][v] += left[v] * right;
        }
    }
}

// The products of V WIDE rows, `x` and the adapter's `low` as `by_lanes` lays them out, with C columns: out [C, V WIDE].
template <int V, int C>
inline void tile_across(const float* x, const float* low, const Weight<float>& w, long column, long k, float* out) {
    Wide unfinished[WIDE][C][V], quarter[4][C][V];
    const float* weight = w.w + (column - w.from) * k;
    for (long from = 0, most = NEAR / C; from < k; from += most) {
        const long n = std::min(most, k - from) / WIDE;
        for (int l = 0; l < WIDE; l++) {
            Wide sum[C][V] = {};
            if (from) __builtin_memcpy(sum, unfinished[l], sizeof(sum));
            const float* next = weight + C * k + (from + l * n) * C;  // of the columns that follow
            add_lane<V, C>(x + (l * k + from) * V, weight + from + l, k, n, next, sum);
            if (from + most < k) {
                __builtin_memcpy(unfinished[l], sum, sizeof(sum));
                continue;
            }
            for (int c = 0; w.scale && c < C; c++)
                for (auto& s : sum[c]) s *= w.scale[column + c];
            if (w.rank) add_lane<V, C>(low + l * w.rank * V, w.b + column * w.rank + l, w.rank, w.rank / WIDE, next, sum);
            for (int c = 0; c < C; c++)
                for (int v = 0; v < V; v++) quarter[l % 4][c][v] = l < 4 ? sum[c][v] : quarter[l % 4][c][v] + sum[c][v];
        }
    }
    for (int c = 0; c < C; c++)
        for (int v = 0; v < V; v++)
            store(out + (c * V + v) * WIDE, (quarter[0][c][v] + quarter[2][c][v]) + (quarter[1][c][v] + quarter[3][c][v]));
}

// Four columns of four rows, from columns of them `ld` apart.
inline void four_rows(const float* columns, long ld, Four (&rows)[4]) {
    const Four a = load<Four>(columns), b = load<Four>(columns + ld), c = load<Four>(columns + 2 * ld),
               d = load<Four>(columns + 3 * ld);
    const Four ab = picked<0, 4, 1, 5>(a, b), cd = picked<0, 4, 1, 5>(c, d);
    const Four ab2 = picked<2, 6, 3, 7>(a, b), cd2 = picked<2, 6, 3, 7>(c, d);
    rows[0] = picked<0, 1, 4, 5>(ab, cd), rows[1] = picked<2, 3, 6, 7>(ab, cd);
    rows[2] = picked<0, 1, 4, 5>(ab2, cd2), rows[3] = picked<2, 3, 6, 7>(ab2, cd2);
}

// `done(row, column, four numbers of the first weight's product, the others' ...)` for `m` rows from `row` on, of a panel's
// columns. `low[i]`: as `x`, for the i-th weight.
template <int V, class Done, class... Weights>
inline void across_panel(const float* x, const float* const* low, long row, long m, long panel, long k, Done& done,
                         const Weights&... w) {
    constexpr int C = ABREAST, COUNT = sizeof...(w);
    constexpr long HEIGHT = V * WIDE;
    for (long column = panel; column < panel + PANEL; column += C) {
        alignas(64) float out[COUNT][C * HEIGHT];
        int i = 0;
        ((tile_across<V, C>(x, low[i], w, column, k, out[i]), i++), ...);
        for (long j = 0; j < C; j += 4) {
            for (long r = 0; r < m; r += 4) {
                Four rows[COUNT][4];
                for (int one = 0; one < COUNT; one++) four_rows(out[one] + j * HEIGHT + r, HEIGHT, rows[one]);
                for (long s = 0; s < std::min(4L, m - r); s++) {
                    if constexpr (COUNT == 1) done(row + r + s, column + j, rows[0][s]);
                    if constexpr (COUNT == 2) done(row + r + s, column + j, rows[0][s], rows[1][s]);
                }
            }
        }
    }
}

}  // namespace
}  // namespace strop
