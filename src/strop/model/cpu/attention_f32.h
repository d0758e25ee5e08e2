// One block of up to 64 queries against all the keys that it sees, in float32: both halves of attention, by tiles.
//
// All products have one operand whose rows lie as they are in memory, and one of which single numbers are spread over a vector.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "visible.h"
#include "wide.h"

namespace strop {
namespace {

// Vectors of a block's row: with six rows of sums they fill the registers, which are 32 or 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int MOST = 4;
#else
constexpr int MOST = 2;
#endif

struct Rows {  // one head of a tensor
    const float* data;
    long stride;
    const float* row(long i) const { return data + i * stride; }
};

struct Prepared {  // keys are taken as they lie
    void of(Rows, int, int) {}
};

// C[R, J WIDE] (+)= A B: row r, column p of A at a[r * row + p * step], rows of B `width` apart, of C `ldc`.
template <int R, int J>
inline void block(const float* a, long row, long step, const float* b, long width, float* c, long ldc, int n, bool add) {
    Wide sum[R][J];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < J; j++) sum[r][j] = add ? load(c + r * ldc + j * WIDE) : Wide{};
    for (int p = 0; p < n; p++) {
        Wide right[J];
        for (int j = 0; j < J; j++) right[j] = load(b + p * width + j * WIDE);
        for (int r = 0; r < R; r++) {
            const float left = a[r * row + p * step];
            for (int j = 0; j < J; j++) sum[r][j] += left * right[j];
        }
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < J; j++) store(c + r * ldc + j * WIDE, sum[r][j]);
}

template <int J>
void panel(const float* a, long row, long step, const float* b, long width, float* c, long ldc, int m, int n, bool add) {
    int r = 0;
    for (; r + 6 <= m; r += 6) block<6, J>(a + r * row, row, step, b, width, c + r * ldc, ldc, n, add);
    for (; r + 2 <= m; r += 2) block<2, J>(a + r * row, row, step, b, width, c + r * ldc, ldc, n, add);
    if (r < m) block<1, J>(a + r * row, row, step, b, width, c + r * ldc, ldc, n, add);
}

// C[m, columns] (+)= A[m, n] B[n, columns], columns a multiple of WIDE.
void product(const float* a, long row, long step, const float* b, long width, float* c, long ldc, int m, int columns, int n,
             bool add) {
    for (int j = 0; j < columns; j += MOST * WIDE) {
        switch (std::min(MOST, (columns - j) / WIDE)) {
            case 4: panel<4>(a, row, step, b + j, width, c + j, ldc, m, n, add); break;
            case 3: panel<3>(a, row, step, b + j, width, c + j, ldc, m, n, add); break;
            case 2: panel<2>(a, row, step, b + j, width, c + j, ldc, m, n, add); break;
            default: panel<1>(a, row, step, b + j, width, c + j, ldc, m, n, add);
        }
    }
}

// out[d][i] = x[i][d] for TILE rows; those beyond `n` are zeros.
void transpose(Rows x, int n, int d, float* out) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++) out[j * TILE + i] = x.row(i)[j];
    for (int j = 0; n < TILE && j < d; j++) std::fill(out + j * TILE + n, out + (j + 1) * TILE, 0.f);
}

struct Mask : Visible {  // which queries of a block (lanes) see a key
    Vector<WIDE>::ints seen(int key, int lane) const {
        Vector<WIDE>::ints query;
        for (int i = 0; i < WIDE; i++) query[i] = first + lane + i;
        return window ? (query >= key) & (query < key + window) : query >= key;
    }
};

int lanes_of(int queries) { return (queries + WIDE - 1) / WIDE * WIDE; }

// out [queries, d], its rows `out_stride` apart; lse [queries]: log sum e^score.
void forward_block(Rows q, int queries, int position, Rows k, Rows v, int d, int window, float scale, float* out,
                   long out_stride, float* lse) {
    alignas(64) float qt[MAX_D * TILE], s[TILE * TILE], o[TILE * MAX_D], highest[TILE], sum[TILE], keep[TILE];
    transpose(q, queries, d, qt);
    std::fill(highest, highest + TILE, NOTHING);
    std::fill(sum, sum + TILE, 0.f);
    std::memset(o, 0, sizeof(float) * queries * d);
    const Mask mask{position, window};
    const int lanes = lanes_of(queries), begin = first_key(position, window);
    for (int key = begin; key < position + queries; key += TILE) {
        const int keys = std::min(TILE, position + queries - key);
        product(k.row(key), k.stride, 1, qt, TILE, s, TILE, keys, lanes, d, false);
        const bool whole = mask.whole(key, keys, queries);
        bool moved = false;
        for (int lane = 0; lane < lanes; lane += WIDE) {
            Wide top = load(highest + lane);
            const Wide before = top;
            for (int i = 0; i < keys; i++) {
                Wide x = load(s + i * TILE + lane) * scale;
                if (!whole) x = mask.seen(key + i, lane) ? x : every(-INFINITY);
                store(s + i * TILE + lane, x);
                top = x > top ? x : top;
            }
            const Wide factor = strop::exp(before - top);
            Wide total = load(sum + lane) * factor;
            for (int i = 0; i < keys; i++) {
                const Wide e = strop::exp(load(s + i * TILE + lane) - top);
                store(s + i * TILE + lane, e);
                total += e;
            }
            store(highest + lane, top);
            store(sum + lane, total);
            store(keep + lane, factor);
            for (int i = 0; i < WIDE; i++) moved |= keep[lane + i] != 1;
        }
        for (int i = 0; moved && key > begin && i < queries; i++)
            for (int j = 0; j < d; j += WIDE) store(o + i * d + j, load(o + i * d + j) * keep[i]);
        product(s, 1, TILE, v.row(key), v.stride, o, d, queries, d, keys, true);
    }
    for (int i = 0; i < queries; i++) {
        for (int j = 0; j < d; j += WIDE) store(out + i * out_stride + j, load(o + i * d + j) * (1.f / sum[i]));
        lse[i] = highest[i] + std::log(sum[i]);
    }
}

// dk and dv: float32 [k_len, d], added to.
void backward_block(Rows q, Rows out, Rows grad, int queries, int position, Rows k, Rows v, const Prepared&, int d, int window,
                    float scale, const float* lse, float* dq, long dq_stride, float* dk, float* dv) {
    alignas(64) float qt[MAX_D * TILE], gt[MAX_D * TILE], p[TILE * TILE], ds[TILE * TILE], sum[TILE * MAX_D];
    alignas(64) float delta[TILE] = {}, log_sum[TILE] = {};
    transpose(q, queries, d, qt);
    transpose(grad, queries, d, gt);
    for (int i = 0; i < queries; i++) {
        Wide dot{};
        for (int j = 0; j < d; j += WIDE) dot += load(out.row(i) + j) * load(grad.row(i) + j);
        delta[i] = sum_of(dot);
        log_sum[i] = lse[i];
    }
    std::memset(sum, 0, sizeof(float) * queries * d);
    const Mask mask{position, window};
    const int lanes = lanes_of(queries);
    for (int key = first_key(position, window); key < position + queries; key += TILE) {
        const int keys = std::min(TILE, position + queries - key);
        product(k.row(key), k.stride, 1, qt, TILE, p, TILE, keys, lanes, d, false);
        product(v.row(key), v.stride, 1, gt, TILE, ds, TILE, keys, lanes, d, false);
        const bool whole = mask.whole(key, keys, queries);
        for (int i = 0; i < keys; i++) {
            for (int lane = 0; lane < lanes; lane += WIDE) {
                const int at = i * TILE + lane;
                Wide probability = strop::exp(load(p + at) * scale - load(log_sum + lane));
                if (!whole) probability = mask.seen(key + i, lane) ? probability : Wide{};
                store(p + at, probability);
                store(ds + at, probability * (load(ds + at) - load(delta + lane)) * scale);
            }
        }
        product(p, TILE, 1, grad.data, grad.stride, dv + (long)key * d, d, keys, d, queries, true);
        product(ds, TILE, 1, q.data, q.stride, dk + (long)key * d, d, keys, d, queries, true);
        product(ds, 1, TILE, k.row(key), k.stride, sum, d, queries, d, keys, true);
    }
    for (int i = 0; i < queries; i++)
        for (int j = 0; j < d; j += WIDE) store(dq + i * dq_stride + j, load(sum + i * d + j));
}

}  // namespace
}  // namespace strop
