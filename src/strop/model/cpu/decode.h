// All layers of a decoder of the plain Llama shape for a few new tokens, in one call, for numbers N of bfloat16 or float32.
//
//   h = norm(x);  x += o(attention(rotate(q(h)), rotate(k(h)), v(h)));  h = norm(x);  x += down(silu(gate(h)) up(h))
//
// Tokens lie in a flat row: segment after segment, each the next tokens of a sequence whose earlier keys and values are in
// pages of a cache. All segments' keys and values are written before any is read, so a segment may read what another of
// the same row writes. Whoever includes this has before it, for N: rms_norm_row, rotate_row, linear, linear_added, gated,
// attend_one, BLOCK, and where that is not 0 forward_block.
//
// A cache is, per layer, keys and values [pages, kv heads, PAGE, d] each.
#pragma once
#include <omp.h>

#include <cstring>
#include <initializer_list>
#include <vector>

#include "operands.h"

namespace strop {
namespace {

struct Sizes {
    long layers, width, heads, kv_heads, d, inner, rank;
};

template <class N>
struct Linear {  // w [n, k], bias [n], the adapter's a [rank, k] and b [n, rank], its scale in b; null where it has none
    const N *w, *bias, *a, *b;
    const int8_t* q;  // [n, k], in place of w where it is there: scale[n] q
    const float* scale;
};

template <class N>
struct Layer {  // addresses; null where a layer has none of it
    const N* norm;
    Linear<N> q, k, v;
    const N *q_norm, *k_norm;
    Linear<N> o;
    const N* after;
    Linear<N> gate, up, down;
    N *keys, *values;
    long window;
    double scale, eps, offset, head_eps;
};

struct Segment {
    int first, count, length, table;  // tokens of the flat row; length of the sequence with them; where its pages stand
    int prompt;                       // tokens of the sequence that are attended in blocks of queries, others one by one
};

constexpr int AT_ONCE = 16;  // tokens of a segment that a thread attends one after the other

// x [tokens, width] is overwritten by what comes out of the last layer. cos, sin [tokens, d]; tables: numbers of pages.
// h [tokens, max(width, heads d)], qkv [tokens, (heads + 2 kv_heads) d], act [tokens, inner], low [3, tokens, rank]: room
// for what is between.
template <class N>
void decode(const Layer<N>* layers, const Sizes* sizes, N* x, const N* cos, const N* sin, long tokens, const Segment* segments,
            long count, const int32_t* tables, N* h, N* qkv, N* act, N* low) {
    // one by one, for a binding of all of them cannot be used in a parallel region of clang's
    const long n_layers = sizes->layers, width = sizes->width, heads = sizes->heads, kv_heads = sizes->kv_heads;
    const long d = sizes->d, inner = sizes->inner, rank = sizes->rank;
    const long across = (heads + 2 * kv_heads) * d, group = heads / kv_heads, page = kv_heads * PAGE * d;
    struct Work {
        int segment, head, begin, end;  // queries: of a head in a block, or one by one of all that share a head of keys
        bool block;
        long cost;
    };
    std::vector<Work> work;
    std::vector<long> into(tokens);  // where a token's keys and values begin in a layer's cache
    for (int s = 0; s < count; s++) {
        const Segment& seg = segments[s];
        for (int i = 0; i < seg.count; i++) {
            const long place = seg.length - seg.count + i;
            into[seg.first + i] = tables[seg.table + place / PAGE] * page + place % PAGE * d;
        }
        // Which way a token goes depends on its sequence alone, so that it gets the same numbers however the prompt is cut
        // into pieces and wherever its answer is taken up again.
        const int before = seg.length - seg.count, blocks = BLOCK<N> ? std::clamp(seg.prompt - before, 0, seg.count) : 0;
        if constexpr (BLOCK<N>)
            for (int h = 0; h < heads; h++)
                for (int b = 0; b < blocks; b += BLOCK<N>)
                    work.push_back({s, h, b, std::min(b + BLOCK<N>, blocks), true, (before + b + BLOCK<N>) * 16L});
        for (int kv = 0; kv < kv_heads; kv++)
            for (int b = blocks; b < seg.count; b += AT_ONCE) {
                const int end = std::min(b + AT_ONCE, seg.count);
                work.push_back({s, kv, b, end, false, (long)seg.length * (end - b) * 2});
            }
    }
    if (count < tokens)  // segments of one token each are about alike, and neighbours share pages
        std::stable_sort(work.begin(), work.end(), [](const Work& a, const Work& b) { return a.cost > b.cost; });
    // The i-th of the matrices that have the same input, with what its adapter made of that.
    const auto adapted = [=](const Linear<N>& one, int i) {
        Weight<N> w{one.w, one.q, one.scale};
        if (one.a) w.low = low + i * tokens * rank, w.b = one.b, w.rank = rank;
        return w;
    };
#pragma omp parallel
    {
        std::vector<float> scratch;
        const auto through_adapters = [=](const N* in, long k, std::initializer_list<const Linear<N>*> all) {
            int i = 0;
            bool any = false;
            for (const Linear<N>* one : all) {
                if (one->a) linear(in, k, tokens, k, Weight<N>{one->a}, nullptr, rank, low + i * tokens * rank, rank), any = true;
                i++;
            }
            if (any) {
#pragma omp barrier
            }
        };
        for (long l = 0; l < n_layers; l++) {
            const Layer<N>& w = layers[l];
#pragma omp for schedule(static)
            for (long t = 0; t < tokens; t++) rms_norm_row(x + t * width, w.norm, h + t * width, width, w.eps, w.offset);
            through_adapters(h, width, {&w.q, &w.k, &w.v});
            linear(h, width, tokens, width, adapted(w.q, 0), w.q.bias, heads * d, qkv, across);
            linear(h, width, tokens, width, adapted(w.k, 1), w.k.bias, kv_heads * d, qkv + heads * d, across);
            linear(h, width, tokens, width, adapted(w.v, 2), w.v.bias, kv_heads * d, qkv + (heads + kv_heads) * d, across);
#pragma omp barrier
#pragma omp for schedule(static)
            for (long t = 0; t < tokens; t++) {
                N* row = qkv + t * across;
                for (long j = 0; j < heads + kv_heads; j++) {
                    const N* norm = j < heads ? w.q_norm : w.k_norm;
                    if (norm) rms_norm_row(row + j * d, norm, row + j * d, d, w.head_eps, w.offset);
                    N* to = j < heads ? row + j * d : w.keys + into[t] + (j - heads) * PAGE * d;
                    rotate_row(row + j * d, cos + t * d, sin + t * d, to, d);
                }
                for (long j = 0; j < kv_heads; j++)
                    std::memcpy(w.values + into[t] + j * PAGE * d, row + (heads + kv_heads + j) * d, d * sizeof(N));
            }
#pragma omp for schedule(dynamic)
            for (size_t i = 0; i < work.size(); i++) {
                const auto [s, head, begin, end, block, cost] = work[i];
                const Segment& seg = segments[s];
                const long kv = block ? head / group : head, t = seg.first + begin;
                const Paged<N> keys{w.keys + kv * PAGE * d, tables + seg.table, page, d};
                const Paged<N> values{w.values + kv * PAGE * d, tables + seg.table, page, d};
                const int place = seg.length - seg.count + begin;
                if constexpr (BLOCK<N>)
                    if (block) {
                        float lse[BLOCK<N>];
                        forward_block({qkv + t * across + head * d, across}, end - begin, place, keys, values, d, w.window,
                                      w.scale, h + t * heads * d + head * d, heads * d, lse);
                        continue;
                    }
                for (int j = 0; begin + j < end; j++)
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

}  // namespace
}  // namespace strop
