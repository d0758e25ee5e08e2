// One block of up to 64 queries against all the keys that it sees: the backward half of attention, by tiles.
#pragma once
#include <vector>

#include "attention_block.h"

namespace strop {
namespace {

struct Prepared {  // keys as pairs of neighbours, for dQ += dS K
    std::vector<int32_t> pairs;
    void of(Rows keys, int n, int d) {
        pairs.resize((size_t)(n + 1) / 2 * d);
        interleave(keys, n, d, pairs.data());
    }
};

// One block of queries against all the keys that it sees. dk and dv: float32 [k_len, d], added to.
void backward_block(Rows q, Rows out, Rows grad, int queries, int position, Rows k, Rows v, const Prepared& prepared, int d,
                    int window, float scale, const float* lse, bf16* dq, long dq_stride, float* dk, float* dv) {
    alignas(64) int32_t qt[MAX_D / 2 * TILE], gt[MAX_D / 2 * TILE], qp[TILE / 2 * MAX_D], gp[TILE / 2 * MAX_D];
    alignas(64) int32_t dsp[TILE / 2 * TILE];
    alignas(64) bf16 p[TILE * TILE], ds[TILE * TILE];
    alignas(64) float s[(TILE + 1) * TILE], dp[(TILE + 1) * TILE], sum[TILE * MAX_D], delta[TILE] = {}, log_sum[TILE] = {};
    transpose(q, queries, d, qt);
    transpose(grad, queries, d, gt);
    interleave(q, queries, d, qp);
    interleave(grad, queries, d, gp);
    for (int i = 0; i < queries; i++) {
        __m512 dot = _mm512_setzero_ps();
        for (int j = 0; j < d; j += LANES) dot = _mm512_fmadd_ps(load(out.row(i) + j), load(grad.row(i) + j), dot);
        delta[i] = _mm512_reduce_add_ps(dot);
        log_sum[i] = lse[i];
    }
    std::memset(sum, 0, sizeof(float) * queries * d);
    const Mask mask{position, window};
    const __m512 scales = _mm512_set1_ps(scale);
    const int query_pairs = (queries + 1) / 2;
    for (int key = first_key(position, window); key < position + queries; key += TILE) {
        const int keys = std::min(TILE, position + queries - key);
        product(k.row(key), k.stride / 2, 1, qt, s, keys, TILE, d / 2, false);
        product(v.row(key), v.stride / 2, 1, gt, dp, keys, TILE, d / 2, false);
        const bool whole = mask.whole(key, keys, queries) && queries == TILE;
        for (int i = 0; i < keys; i += 2) {
            for (int lane = 0; lane < TILE; lane += LANES) {
                const __mmask16 inside = (__mmask16)((1u << std::clamp(queries - lane, 0, LANES)) - 1);
                __m512 both[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
                for (int e = 0; e < 2 && i + e < keys; e++) {
                    const int at = (i + e) * TILE + lane;
                    const __mmask16 seen = whole ? 0xffff : mask.lanes(key + i + e, lane) & inside;
                    const __m512 exponent = _mm512_fmsub_ps(_mm512_load_ps(s + at), scales, _mm512_load_ps(log_sum + lane));
                    const __m512 probability = _mm512_maskz_mov_ps(seen, strop::exp(exponent));
                    const __m512 error = _mm512_sub_ps(_mm512_load_ps(dp + at), _mm512_load_ps(delta + lane));
                    both[e] = _mm512_mul_ps(_mm512_mul_ps(probability, error), scales);
                    store(p + at, probability);
                    store(ds + at, both[e]);
                }
                _mm512_store_si512(dsp + i / 2 * TILE + lane, pairs(both[0], both[1]));
            }
        }
        product(p, TILE / 2, 1, gp, dv + (long)key * d, keys, d, query_pairs, true);
        product(ds, TILE / 2, 1, qp, dk + (long)key * d, keys, d, query_pairs, true);
        product(dsp, 1, TILE, prepared.pairs.data() + (long)key / 2 * d, sum, queries, d, (keys + 1) / 2, true);
    }
    for (int i = 0; i < queries; i++)
        for (int j = 0; j < d; j += LANES) store(dq + i * dq_stride + j, _mm512_load_ps(sum + i * d + j));
}

}  // namespace
}  // namespace strop
