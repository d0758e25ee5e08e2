// Causal softmax attention over flat rows, forward and backward, in bfloat16 with float32 sums.
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

#include "attention_block.h"

using namespace strop;

namespace {

struct Segment {
    int q, q_len, k, k_len;
};

// One block of queries against all the keys that it sees. dk and dv: float32 [k_len, d], added to.
void backward_block(Rows q, Rows out, Rows grad, int queries, int position, Rows k, Rows v, const int32_t* kp, int d,
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
        product(dsp, 1, TILE, kp + (long)key / 2 * d, sum, queries, d, (keys + 1) / 2, true);
    }
    for (int i = 0; i < queries; i++)
        for (int j = 0; j < d; j += LANES) store(dq + i * dq_stride + j, _mm512_load_ps(sum + i * d + j));
}

struct Work {  // a piece of work and about how long it takes
    int segment, head, block;
    long cost;
};

void longest_first(std::vector<Work>& work) {
    std::stable_sort(work.begin(), work.end(), [](const Work& a, const Work& b) { return a.cost > b.cost; });
}

}  // namespace

extern "C" {

// strides: {q head, q token, k head, k token, v head, v token, out head, out token}. lse: float32 [heads, q_tokens].
void strop_attention_forward(const bf16* q, const bf16* k, const bf16* v, bf16* out, float* lse, const long* strides,
                             const Segment* segments, int n, int heads, int kv_heads, int d, long q_tokens, int window,
                             float scale) {
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
void strop_attention_backward(const bf16* q, const bf16* k, const bf16* v, const bf16* out, const float* lse,
                              const bf16* grad, bf16* dq, bf16* dk, bf16* dv, const long* strides, const long* gstrides,
                              const Segment* segments, int n, int heads, int kv_heads, int d, long q_tokens,
                              long k_tokens, int window, float scale, int threads) {
    const int group = heads / kv_heads;
    // A piece of work is all the heads that share keys; with few segments, each head, so that every core has some.
    const int per = n * kv_heads >= 4 * threads ? group : 1;
    const int pieces = heads / per;
    std::vector<float> dk_sum((size_t)pieces * k_tokens * d), dv_sum((size_t)pieces * k_tokens * d);
    std::vector<Work> work;
    for (int s = 0; s < n; s++)
        for (int h = 0; h < heads; h += per) work.push_back({s, h, 0, (long)segments[s].q_len * segments[s].k_len});
    longest_first(work);
#pragma omp parallel
    {
        std::vector<int32_t> kp;
#pragma omp for schedule(dynamic)
        for (size_t w = 0; w < work.size(); w++) {
            const auto [s, head, block, cost] = work[w];
            const Segment& seg = segments[s];
            const int kv = head / group;
            const Rows keys{k + kv * strides[2] + seg.k * strides[3], strides[3]};
            const Rows values{v + kv * strides[4] + seg.k * strides[5], strides[5]};
            kp.resize((size_t)(seg.k_len + 1) / 2 * d);
            interleave(keys, seg.k_len, d, kp.data());
            const size_t at = ((size_t)(head / per) * k_tokens + seg.k) * d;
            for (int h = head; h < head + per; h++)
                for (int b = 0; b < seg.q_len; b += TILE) {
                    const long first = seg.q + b;
                    backward_block({q + h * strides[0] + first * strides[1], strides[1]},
                                   {out + h * strides[6] + first * strides[7], strides[7]},
                                   {grad + h * gstrides[6] + first * gstrides[7], gstrides[7]},
                                   std::min(TILE, seg.q_len - b), seg.k_len - seg.q_len + b, keys, values, kp.data(), d,
                                   window, scale, lse + h * q_tokens + first, dq + h * gstrides[0] + first * gstrides[1],
                                   gstrides[1], dk_sum.data() + at, dv_sum.data() + at);
                }
        }
#pragma omp for collapse(2)
        for (int kv = 0; kv < kv_heads; kv++)
            for (long t = 0; t < k_tokens; t++) {
                const int parts = group / per;
                for (int j = 0; j < d; j += LANES) {
                    __m512 a = _mm512_setzero_ps(), b = a;
                    for (int i = 0; i < parts; i++) {
                        const size_t at = ((size_t)(kv * parts + i) * k_tokens + t) * d + j;
                        a = _mm512_add_ps(a, _mm512_loadu_ps(dk_sum.data() + at));
                        b = _mm512_add_ps(b, _mm512_loadu_ps(dv_sum.data() + at));
                    }
                    store(dk + kv * gstrides[2] + t * gstrides[3] + j, a);
                    store(dv + kv * gstrides[4] + t * gstrides[5] + j, b);
                }
            }
    }
}
}
