// Causal softmax attention over flat rows, forward and backward, with float32 sums.
//
// Tiles of 64 keys x 64 queries are kept transposed (a row per key, a lane per query): then maxima, sums and exponentials
// are lane by lane, and each of the seven products finds its operands without a transposition:
//
//   S^T = K Q^T      dP^T = V dO^T      O += P V      dV += P^T dO      dK += dS^T Q      dQ += dS K
//
// The softmax is the online one (Milakov and Gimelshein 2018) in tiles (Dao et al. 2022, FlashAttention): no memory grows
// with the square of the length. Tiles that causality or the window hides are skipped.
//
// Layout: q, out and their gradients [heads, tokens, D], k and v [kv_heads, tokens, D], each with a stride (in numbers) per
// head and per token, and D contiguous; D is a multiple of 16 up to 256. Query i of a segment sees the keys from
// i + k_len - q_len - window + 1 to i + k_len - q_len of the same segment (window 0: all up to there).

#include <vector>

#include "numbers.h"

#ifdef FLOAT32
#include "attention_f32.h"
#else
#include "attention_backward.h"
#endif

using namespace strop;

namespace {

struct Segment {
    int q, q_len, k, k_len;
};

struct Work {  // a piece of work and about how long it takes
    int segment, head, block;
    long cost;
};

constexpr int MANY = 16;  // pieces of work

void longest_first(std::vector<Work>& work) {
    std::stable_sort(work.begin(), work.end(), [](const Work& a, const Work& b) { return a.cost > b.cost; });
}

}  // namespace

extern "C" {

// strides: {q head, q token, k head, k token, v head, v token, out head, out token}. lse: float32 [heads, q_tokens].
void KERNEL(strop_attention_forward)(const Number* q, const Number* k, const Number* v, Number* out, float* lse,
                                     const long* strides, const Segment* segments, int n, int heads, int kv_heads, int d,
                                     long q_tokens, int window, float scale) {
    std::vector<Work> work;
    for (int s = 0; s < n; s++)
        for (int h = 0; h < heads; h++)
            for (int b = 0; b < segments[s].q_len; b += TILE)
                work.push_back({s, h, b, segments[s].k_len - segments[s].q_len + b + TILE});
    longest_first(work);
#pragma omp parallel for schedule(dynamic)
    for (size_t w = 0; w < work.size(); w++) {
        const auto [s, h, b, cost] = work[w];
        const Segment& seg = segments[s];
        const int kv = h / (heads / kv_heads);
        const Rows keys{k + kv * strides[2] + seg.k * strides[3], strides[3]};
        const Rows values{v + kv * strides[4] + seg.k * strides[5], strides[5]};
        const long first = seg.q + b;
        forward_block({q + h * strides[0] + first * strides[1], strides[1]}, std::min(TILE, seg.q_len - b),
                      seg.k_len - seg.q_len + b, keys, values, d, window, scale,
                      out + h * strides[6] + first * strides[7], strides[7], lse + h * q_tokens + first);
    }
}

// Gradients have their own strides: {dq head, dq token, dk head, dk token, dv head, dv token, grad head, grad token}.
void KERNEL(strop_attention_backward)(const Number* q, const Number* k, const Number* v, const Number* out, const float* lse,
                                      const Number* grad, Number* dq, Number* dk, Number* dv, const long* strides,
                                      const long* gstrides, const Segment* segments, int n, int heads, int kv_heads, int d,
                                      long q_tokens, long k_tokens, int window, float scale) {
    const int group = heads / kv_heads;
    // A piece of work is all the heads that share keys; with few segments, each head, so that every core has some. It is not
    // asked how many cores there are: sums are the same for any number of threads.
    const int per = n * kv_heads >= MANY ? group : 1;
    const int pieces = heads / per;
    std::vector<float> dk_sum((size_t)pieces * k_tokens * d), dv_sum((size_t)pieces * k_tokens * d);
    std::vector<Work> work;
    for (int s = 0; s < n; s++)
        for (int h = 0; h < heads; h += per) work.push_back({s, h, 0, (long)segments[s].q_len * segments[s].k_len});
    longest_first(work);
#pragma omp parallel
    {
        Prepared prepared;
#pragma omp for schedule(dynamic)
        for (size_t w = 0; w < work.size(); w++) {
            const auto [s, head, block, cost] = work[w];
            const Segment& seg = segments[s];
            const int kv = head / group;
            const Rows keys{k + kv * strides[2] + seg.k * strides[3], strides[3]};
            const Rows values{v + kv * strides[4] + seg.k * strides[5], strides[5]};
            prepared.of(keys, seg.k_len, d);
            const size_t at = ((size_t)(head / per) * k_tokens + seg.k) * d;
            for (int h = head; h < head + per; h++)
                for (int b = 0; b < seg.q_len; b += TILE) {
                    const long first = seg.q + b;
                    backward_block({q + h * strides[0] + first * strides[1], strides[1]},
                                   {out + h * strides[6] + first * strides[7], strides[7]},
                                   {grad + h * gstrides[6] + first * gstrides[7], gstrides[7]},
                                   std::min(TILE, seg.q_len - b), seg.k_len - seg.q_len + b, keys, values, prepared, d,
                                   window, scale, lse + h * q_tokens + first, dq + h * gstrides[0] + first * gstrides[1],
                                   gstrides[1], dk_sum.data() + at, dv_sum.data() + at);
                }
        }
#pragma omp for collapse(2)
        for (int kv = 0; kv < kv_heads; kv++)
            for (long t = 0; t < k_tokens; t++) {
                const int parts = group / per;
                for (int j = 0; j < d; j += LANES) {
                    Floats a{}, b{};
                    for (int i = 0; i < parts; i++) {
                        const size_t at = ((size_t)(kv * parts + i) * k_tokens + t) * d + j;
                        a += load(dk_sum.data() + at);
                        b += load(dv_sum.data() + at);
                    }
                    store(dk + kv * gstrides[2] + t * gstrides[3] + j, a);
                    store(dv + kv * gstrides[4] + t * gstrides[5] + j, b);
                }
            }
    }
}
}
