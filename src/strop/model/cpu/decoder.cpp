// All layers of a decoder for a few new tokens, in bfloat16 with float32 sums (decode.h says what is computed). Rounding to
// bfloat16 happens where the modules of the model round.

#include <vector>

#include "attention_block.h"
#include "linear.h"
#include "rows.h"

namespace strop {
namespace {

template <class N>
constexpr int BLOCK = TILE;  // queries of a prompt that are attended together

// Heads that share keys, one query: scores of all the keys, their softmax, the sum of values.
void attend_one(const bf16* q, int group, int position, Paged<bf16> k, Paged<bf16> v, int d, int window, float scale, bf16* out,
                std::vector<float>& scratch) {
    const int begin = window ? std::max(0, position - window + 1) : 0, end = position + 1, first = begin / TILE * TILE;
    const long width = (end - first + TILE - 1) / TILE * TILE;
    scratch.resize(group * width);
    float* scores = scratch.data();
    for (int key = first; key < end; key += LANES) {  // what is beyond the end is read, for it is of the same page
        const bf16* rows = k.row(key);
        for (int h = 0; h < group; h++) {
            __m512 sum[LANES];
            for (auto& s : sum) s = _mm512_setzero_ps();
            for (int i = 0; i < d; i += 2 * LANES) {
                const __m512bh left = pairs_at(q + h * d + i);
                for (int j = 0; j < LANES; j++) sum[j] = _mm512_dpbf16_ps(sum[j], left, pairs_at(rows + j * k.stride + i));
            }
            _mm512_storeu_ps(scores + h * width + key - first, _mm512_mul_ps(sums_of(sum), _mm512_set1_ps(scale)));
        }
    }
    float mass[16];
    for (int h = 0; h < group; h++) {
        float* s = scores + h * width;
        for (int key = first; key < begin; key++) s[key - first] = -INFINITY;
        for (long key = end - first; key < width; key++) s[key] = -INFINITY;
        __m512 top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
        for (long i = 0; i < width; i += LANES) top = _mm512_max_ps(top, _mm512_loadu_ps(s + i));
        top = _mm512_set1_ps(_mm512_reduce_max_ps(top));
        for (long i = 0; i < width; i += LANES) {
            const __m512 e = strop::exp(_mm512_sub_ps(_mm512_loadu_ps(s + i), top));
            _mm512_storeu_ps(s + i, e);
            sum = _mm512_add_ps(sum, e);
        }
        mass[h] = _mm512_reduce_add_ps(sum);
    }
    for (int j = 0; j < d; j += 2 * LANES) {
        __m512 low[16], high[16];
        for (int h = 0; h < group; h++) low[h] = high[h] = _mm512_setzero_ps();
        for (int tile = first; tile < end; tile += TILE) {
            const bf16* rows = v.row(tile);
            for (int i = std::max(0, begin - tile); i < std::min(TILE, end - tile); i++) {
                const __m512 a = load(rows + i * v.stride + j), b = load(rows + i * v.stride + j + LANES);
                for (int h = 0; h < group; h++) {
                    const __m512 p = _mm512_set1_ps(scores[h * width + tile - first + i]);
                    low[h] = _mm512_fmadd_ps(p, a, low[h]);
                    high[h] = _mm512_fmadd_ps(p, b, high[h]);
                }
            }
        }
        for (int h = 0; h < group; h++) {
            const __m512 inverse = _mm512_set1_ps(1.f / mass[h]);
            store(out + h * d + j, _mm512_mul_ps(low[h], inverse));
            store(out + h * d + j + LANES, _mm512_mul_ps(high[h], inverse));
        }
    }
}

template <int R>
__m512 with_bias(__m512 x, const bf16* bias, long column) {
    return bias ? _mm512_add_ps(x, get<R>(bias + column, 0)) : x;
}

template <class Out>
void linear(const bf16* x, long ldx, long m, long k, Weight<bf16> w, const bf16* bias, long n, Out* out, long ldo) {
    const Share share(n);
    products(x, ldx, m, k, share.from, share.to, [=]<int R>(long row, long column, __m512 sums) {
        put<R>(with_bias<R>(sums, bias, column), out + row * ldo + column, ldo);
    }, w);
}

void linear_added(const bf16* x, long m, long k, Weight<bf16> w, const bf16* bias, long n, bf16* out) {
    const Share share(n);
    products(x, k, m, k, share.from, share.to, [=]<int R>(long row, long column, __m512 sums) {
        bf16* at = out + row * n + column;
        put<R>(_mm512_add_ps(get<R>(at, n), rounded(with_bias<R>(sums, bias, column))), at, n);
    }, w);
}

void gated(const bf16* x, long m, long k, Weight<bf16> gate, Weight<bf16> up, long n, bf16* out) {
    const Share share(n);
    products(x, k, m, k, share.from, share.to, [=]<int R>(long row, long column, __m512 a, __m512 b) {
        put<R>(silu_gate(rounded(a), rounded(b)), out + row * n + column, n);
    }, gate, up);
}

}  // namespace
}  // namespace strop

#include "decode.h"

using namespace strop;

extern "C" {

void strop_decode(const Layer<bf16>* layers, const Sizes* sizes, bf16* x, const bf16* cos, const bf16* sin, long tokens,
                  const Segment* segments, long count, const int32_t* tables, bf16* h, bf16* qkv, bf16* act, bf16* low) {
    decode(layers, sizes, x, cos, sin, tokens, segments, count, tables, h, qkv, act, low);
}

// out [m, n] float32 = x w^T (+ bias), w [n, k] or `scale[n] q[n, k]`: n a multiple of 16, k of 32. For few rows, as the head's of a
// decoding step.
void strop_linear(const bf16* x, const bf16* w, const int8_t* q, const float* scale, const bf16* bias, float* out, long m,
                  long n, long k) {
#pragma omp parallel
    linear(x, k, m, k, Weight<bf16>{w, q, scale}, bias, n, out, n);
}
}
