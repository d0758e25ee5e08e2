// All layers of a decoder of the plain Llama shape for a few new tokens, in one call: bfloat16 with float32 sums.
//
//   h = norm(x);  x += o(attention(rotate(q(h)), rotate(k(h)), v(h)));  h = norm(x);  x += down(silu(gate(h)) up(h))
//
// Tokens lie in a flat row: segment after segment, each the next tokens of a sequence whose earlier keys and values are in
// pages of a cache. All segments' keys and values are written before any is read, so a segment may read what another of
// the same row writes. Rounding to bfloat16 happens where the modules of the model round.
//
// A cache is, per layer, keys and values [pages, kv heads, TILE, d] each.

#include <omp.h>

#include <initializer_list>
#include <vector>

#include "attention_block.h"
#include "linear.h"
#include "rows.h"

using namespace strop;

namespace {

struct Sizes {
    long layers, width, heads, kv_heads, d, inner, rank;
};

struct Linear {  // w [n, k], bias [n], the adapter's a [rank, k] and b [n, rank], its scale in b; null where it has none
    const bf16 *w, *bias, *a, *b;
    const int8_t* q;  // [n, k], in place of w where it is there: scale[n] q
    const float* scale;
};

struct Layer {  // addresses; null where a layer has none of it
    const bf16 *norm;
    Linear q, k, v;
    const bf16 *q_norm, *k_norm;
    Linear o;
    const bf16* after;
    Linear gate, up, down;
    bf16 *keys, *values;
    long window;
    double scale, eps, offset, head_eps;
};

struct Segment {
    int first, count, length, table;  // tokens of the flat row; length of the sequence with them; where its pages stand
    int prompt;                       // tokens of the sequence that are attended in blocks of 64 queries, others one by one
};

// Heads that share keys, one query: scores of all the keys, their softmax, the sum of values.
void attend_one(const bf16* q, int group, int position, Paged k, Paged v, int d, int window, float scale, bf16* out,
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

struct Share {  // of n columns, in panels of 16
    long from, to;
    explicit Share(long n) {
        const long panels = n / LANES, t = omp_get_thread_num(), all = omp_get_num_threads();
        from = panels * t / all * LANES, to = panels * (t + 1) / all * LANES;
    }
};

template <int R>
__m512 with_bias(__m512 x, const bf16* bias, long column) {
    return bias ? _mm512_add_ps(x, get<R>(bias + column, 0)) : x;
}

template <class Out>
void linear(const bf16* x, long ldx, long m, long k, Weight w, const bf16* bias, long n, Out* out, long ldo) {
    const Share share(n);
    products(x, ldx, m, k, share.from, share.to, [=]<int R>(long row, long column, __m512 sums) {
        put<R>(with_bias<R>(sums, bias, column), out + row * ldo + column, ldo);
    }, w);
}

void linear_added(const bf16* x, long m, long k, Weight w, const bf16* bias, long n, bf16* out) {
    const Share share(n);
    products(x, k, m, k, share.from, share.to, [=]<int R>(long row, long column, __m512 sums) {
        bf16* at = out + row * n + column;
        put<R>(_mm512_add_ps(get<R>(at, n), rounded(with_bias<R>(sums, bias, column))), at, n);
    }, w);
}

void gated(const bf16* x, long m, long k, Weight gate, Weight up, long n, bf16* out) {
    const Share share(n);
    products(x, k, m, k, share.from, share.to, [=]<int R>(long row, long column, __m512 a, __m512 b) {
        put<R>(silu_gate(rounded(a), rounded(b)), out + row * n + column, n);
    }, gate, up);
}

}  // namespace

extern "C" {

// x [tokens, width] is overwritten by what comes out of the last layer. cos, sin [tokens, d]; tables: numbers of pages.
// h [tokens, max(width, heads d)], qkv [tokens, (heads + 2 kv_heads) d], act [tokens, inner], low [3, tokens, rank]: room
// for what is between.
void strop_decode(const Layer* layers, const Sizes* sizes, bf16* x, const bf16* cos, const bf16* sin, long tokens,
                  const Segment* segments, long count, const int32_t* tables, bf16* h, bf16* qkv, bf16* act, bf16* low) {
    const auto [n_layers, width, heads, kv_heads, d, inner, rank] = *sizes;
    const long across = (heads + 2 * kv_heads) * d, group = heads / kv_heads, page = kv_heads * TILE * d;
    struct Work {
        int segment, head, begin, end;  // queries; an end of -1: one by one, to the segment's end, all that share the head
        long cost;
    };
    std::vector<Work> work;
    std::vector<long> into(tokens);  // where a token's keys and values begin in a layer's cache
    for (int s = 0; s < count; s++) {
        const Segment& seg = segments[s];
        for (int i = 0; i < seg.count; i++) {
            const long place = seg.length - seg.count + i;
            into[seg.first + i] = tables[seg.table + place / TILE] * page + place % TILE * d;
        }
        // Which way a token goes depends on its sequence alone, so that it gets the same numbers however the prompt is cut
        // into pieces and wherever its answer is taken up again.
        const int before = seg.length - seg.count, blocks = std::clamp(seg.prompt - before, 0, seg.count);
        for (int h = 0; h < heads; h++)
            for (int b = 0; b < blocks; b += TILE)
                work.push_back({s, h, b, std::min(b + TILE, blocks), (before + b + TILE) * 16L});
        for (int kv = 0; kv < kv_heads && blocks < seg.count; kv++)
            work.push_back({s, kv, blocks, -1, (long)seg.length * (seg.count - blocks) * 2});
    }
    if (count < tokens)  // segments of one token each are about alike, and neighbours share pages
        std::stable_sort(work.begin(), work.end(), [](const Work& a, const Work& b) { return a.cost > b.cost; });
    // The i-th of the matrices that have the same input, with what its adapter made of that.
    const auto adapted = [=](const Linear& one, int i) {
        Weight w{one.w, one.q, one.scale};
        if (one.a) w.low = low + i * tokens * rank, w.b = one.b, w.rank = rank;
        return w;
    };
#pragma omp parallel
    {
        std::vector<float> scratch;
        float lse[TILE];
        const auto through_adapters = [=](const bf16* in, long k, std::initializer_list<const Linear*> all) {
            int i = 0;
            bool any = false;
            for (const Linear* one : all) {
                if (one->a) linear(in, k, tokens, k, {one->a}, nullptr, rank, low + i * tokens * rank, rank), any = true;
                i++;
            }
            if (any) {
#pragma omp barrier
            }
        };
        for (long l = 0; l < n_layers; l++) {
            const Layer& w = layers[l];
#pragma omp for schedule(static)
            for (long t = 0; t < tokens; t++) rms_norm_row(x + t * width, w.norm, h + t * width, width, w.eps, w.offset);
            through_adapters(h, width, {&w.q, &w.k, &w.v});
            linear(h, width, tokens, width, adapted(w.q, 0), w.q.bias, heads * d, qkv, across);
            linear(h, width, tokens, width, adapted(w.k, 1), w.k.bias, kv_heads * d, qkv + heads * d, across);
            linear(h, width, tokens, width, adapted(w.v, 2), w.v.bias, kv_heads * d, qkv + (heads + kv_heads) * d, across);
#pragma omp barrier
#pragma omp for schedule(static)
            for (long t = 0; t < tokens; t++) {
                bf16* row = qkv + t * across;
                for (long j = 0; j < heads + kv_heads; j++) {
                    const bf16* norm = j < heads ? w.q_norm : w.k_norm;
                    if (norm) rms_norm_row(row + j * d, norm, row + j * d, d, w.head_eps, w.offset);
                    bf16* to = j < heads ? row + j * d : w.keys + into[t] + (j - heads) * TILE * d;
                    rotate_row(row + j * d, cos + t * d, sin + t * d, to, d);
                }
                for (long j = 0; j < kv_heads; j++)
                    std::memcpy(w.values + into[t] + j * TILE * d, row + (heads + kv_heads + j) * d, d * sizeof(bf16));
            }
#pragma omp for schedule(dynamic)
            for (size_t i = 0; i < work.size(); i++) {
                const auto [s, head, begin, end, cost] = work[i];
                const Segment& seg = segments[s];
                const long kv = end < 0 ? head : head / group, t = seg.first + begin;
                const Paged keys{w.keys + kv * TILE * d, tables + seg.table, page, d};
                const Paged values{w.values + kv * TILE * d, tables + seg.table, page, d};
                const int place = seg.length - seg.count + begin;
                if (end >= 0)
                    forward_block({qkv + t * across + head * d, across}, end - begin, place, keys, values, d, w.window,
                                  w.scale, h + t * heads * d + head * d, heads * d, lse);
                for (int j = 0; end < 0 && begin + j < seg.count; j++)
                    attend_one(qkv + (t + j) * across + kv * group * d, group, place + j, keys, values, d, w.window,
                               w.scale, h + (t + j) * heads * d + kv * group * d, scratch);
            }
            through_adapters(h, heads * d, {&w.o});
            linear_added(h, tokens, heads * d, adapted(w.o, 0), w.o.bias, width, x);
#pragma omp barrier
#pragma omp for schedule(static)
            for (long t = 0; t < tokens; t++) rms_norm_row(x + t * width, w.after, h + t * width, width, w.eps, w.offset);
            through_adapters(h, width, {&w.gate, &w.up});
            gated(h, tokens, width, adapted(w.gate, 0), adapted(w.up, 1), inner, act);
#pragma omp barrier
            through_adapters(act, inner, {&w.down});
            linear_added(act, tokens, inner, adapted(w.down, 0), nullptr, width, x);
#pragma omp barrier
        }
    }
}

// out [m, n] float32 = x w^T (+ bias), w [n, k] or `scale[n] q[n, k]`: n a multiple of 16, k of 32. For few rows, as the head's of a
// decoding step.
void strop_linear(const bf16* x, const bf16* w, const int8_t* q, const float* scale, const bf16* bias, float* out, long m,
                  long n, long k) {
#pragma omp parallel
    linear(x, k, m, k, {w, q, scale}, bias, n, out, n);
}
}
