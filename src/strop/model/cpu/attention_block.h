// One block of up to 64 queries against all the keys that it sees: the forward half of attention, by tiles.
//
// Keys and values are rows one after another (`Rows`) or lie in pages of a cache (`Paged`): all that is asked of them is
// where the 64 rows begin of which the first one's number is a multiple of 64.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "operands.h"
#include "tiles.h"
#include "visible.h"

namespace strop {
namespace {

struct Mask : Visible {  // which queries of a block (lanes) see a key
    __mmask16 lanes(int key, int lane) const {
        const int from = key - first - lane;  // queries from here on come after the key, or are it
        uint32_t seen = from <= 0 ? 0xffff : from >= LANES ? 0 : 0xffff << from;
        if (window) {
            const int until = from + window;  // and those from here on are too far away
            seen &= until >= LANES ? 0xffff : until <= 0 ? 0 : (1u << until) - 1;
        }
        return (__mmask16)seen;
    }
};

template <class Keys>
void forward_block(Rows q, int queries, int position, Keys k, Keys v, int d, int window, float scale, bf16* out,
                   long out_stride, float* lse) {
    alignas(64) int32_t qt[MAX_D / 2 * TILE], vp[TILE / 2 * MAX_D], p[TILE / 2 * TILE];
    alignas(64) float s[(TILE + 1) * TILE], o[TILE * MAX_D], highest[TILE], sum[TILE], keep[TILE];
    transpose(q, queries, d, qt);
    std::fill(highest, highest + TILE, NOTHING);
    std::fill(sum, sum + TILE, 0.f);
    std::memset(o, 0, sizeof(float) * queries * d);
    const Mask mask{position, window};
    const __m512 scales = _mm512_set1_ps(scale);
    for (int key = first_key(position, window); key < position + queries; key += TILE) {
        const int keys = std::min(TILE, position + queries - key);
        product(k.row(key), k.stride / 2, 1, qt, s, keys, TILE, d / 2, false);
        if (keys % 2) std::fill(s + keys * TILE, s + (keys + 1) * TILE, 0.f);  // the second of the last pair
        const bool whole = mask.whole(key, keys, queries);
        bool moved = false;
        for (int lane = 0; lane < TILE; lane += LANES) {
            __m512 top = _mm512_set1_ps(NOTHING);
            for (int i = 0; i < keys; i++) {
                const __m512 x = _mm512_mul_ps(_mm512_load_ps(s + i * TILE + lane), scales);
                _mm512_store_ps(s + i * TILE + lane, x);
                top = _mm512_mask_max_ps(top, whole ? 0xffff : mask.lanes(key + i, lane), top, x);
            }
            const __m512 before = _mm512_load_ps(highest + lane);
            top = _mm512_max_ps(top, before);
            const __m512 factor = strop::exp(_mm512_sub_ps(before, top));
            __m512 total = _mm512_mul_ps(_mm512_load_ps(sum + lane), factor);
            for (int i = 0; i < keys; i += 2) {
                __m512 a = strop::exp(_mm512_sub_ps(_mm512_load_ps(s + i * TILE + lane), top));
                __m512 b = strop::exp(_mm512_sub_ps(_mm512_load_ps(s + (i + 1) * TILE + lane), top));
                a = _mm512_maskz_mov_ps(whole ? 0xffff : mask.lanes(key + i, lane), a);
                b = _mm512_maskz_mov_ps(i + 1 >= keys ? 0 : whole ? 0xffff : mask.lanes(key + i + 1, lane), b);
                total = _mm512_add_ps(total, _mm512_add_ps(a, b));
                _mm512_store_si512(p + i / 2 * TILE + lane, pairs(a, b));
            }
            _mm512_store_ps(highest + lane, top);
            _mm512_store_ps(sum + lane, total);
            _mm512_store_ps(keep + lane, factor);
            moved |= _mm512_cmp_ps_mask(factor, _mm512_set1_ps(1.f), _CMP_NEQ_OQ) != 0;
        }
        if (moved)
            for (int i = 0; i < queries; i++)
                for (int j = 0; j < d; j += LANES)
                    _mm512_store_ps(o + i * d + j, _mm512_mul_ps(_mm512_load_ps(o + i * d + j), _mm512_set1_ps(keep[i])));
        interleave(Rows{v.row(key), v.stride}, keys, d, vp);
        product(p, 1, TILE, vp, o, queries, d, (keys + 1) / 2, true);
    }
    for (int i = 0; i < queries; i++) {
        const __m512 inverse = _mm512_set1_ps(1.f / sum[i]);
        for (int j = 0; j < d; j += LANES) store(out + i * out_stride + j, _mm512_mul_ps(_mm512_load_ps(o + i * d + j), inverse));
        lse[i] = highest[i] + std::log(sum[i]);
    }
}

}  // namespace
}  // namespace strop
