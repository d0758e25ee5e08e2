// What a language model's head needs besides its matrix products, on one chunk of logits in bfloat16, with float32 sums.
//
// z is what the model calls its logits (logits.h). Logits [rows, v] are contiguous; what is kept of a row is float32 [rows].

#include "logits.h"

using namespace strop;

extern "C" {

// Per row of logits [rows, v]: label = z at the label, lse = log sum e^z, mean = the mean of z, entropy = lse - sum p z.
// A row with NaN or +inf in it, or of -inf alone, has lse NaN.
void strop_head_statistics(const bf16* logits, long rows, long v, const int64_t* labels, float scale, float cap,
                           float* label, float* lse, float* mean, float* entropy) {
    const Transform transform{scale, cap};
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++) {
        const bf16* x = logits + r * v;
        __m512 top = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps(), total = sum, weighted = sum, z, slope;
        for (long i = 0; i < v; i += LANES) {
            const int n = (int)std::min<long>(LANES, v - i);
            transform.apply(n == LANES ? load(x + i) : tail(x + i, n, -1e30f), z, slope);
            top = _mm512_mask_max_ps(top, (__mmask16)((1u << n) - 1), top, z);
        }
        const float highest = _mm512_reduce_max_ps(top);
        top = _mm512_set1_ps(highest);
        for (long i = 0; i < v; i += LANES) {
            const int n = (int)std::min<long>(LANES, v - i);
            const __mmask16 there = (__mmask16)((1u << n) - 1);
            transform.apply(n == LANES ? load(x + i) : tail(x + i, n, 0), z, slope);
            const __m512 e = _mm512_maskz_mov_ps(there, strop::exp(_mm512_sub_ps(z, top)));
            sum = _mm512_add_ps(sum, e);
            total = _mm512_mask_add_ps(total, there, total, z);
            weighted = _mm512_fmadd_ps(e, z, weighted);
        }
        const float mass = _mm512_reduce_add_ps(sum);
        label[r] = transform.one(number(x[labels[r]]));
        lse[r] = highest + std::log(mass);
        mean[r] = _mm512_reduce_add_ps(total) / v;
        entropy[r] = lse[r] - _mm512_reduce_add_ps(weighted) / mass;
    }
}

// Logits are overwritten by the gradient with respect to them. With the gradients of a row's log-probability (g_label), lse,
// mean and entropy, and p = e^(z - lse):  dz = g_label 1[label] + p (g_lse - g_label - g_entropy (z - lse + entropy)) + g_mean / v
void strop_head_gradient(bf16* logits, long rows, long v, const int64_t* labels, float scale, float cap, const float* lse,
                         const float* entropy, const float* g_label, const float* g_lse, const float* g_mean,
                         const float* g_entropy) {
    const Transform transform{scale, cap};
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++) {
        bf16* x = logits + r * v;
        const __m512 log_sum = _mm512_set1_ps(lse[r]), constant = _mm512_set1_ps(g_mean[r] / v);
        const bool level = g_entropy[r] == 0;  // then z, which may be -inf, does not count, nor does the entropy of it
        const __m512 share = _mm512_set1_ps(g_lse[r] - g_label[r] + (level ? 0 : g_entropy[r] * (lse[r] - entropy[r])));
        const __m512 slant = _mm512_set1_ps(-g_entropy[r]);
        __m512 z, slope;
        const long at = labels[r];
        transform.apply(_mm512_set1_ps(number(x[at])), z, slope);
        const __m512 p = strop::exp(_mm512_sub_ps(z, log_sum));
        const __m512 own = _mm512_mul_ps(slope, _mm512_add_ps(_mm512_fmadd_ps(p, level ? share : _mm512_fmadd_ps(slant, z, share), constant),
                                                              _mm512_set1_ps(g_label[r])));
        for (long i = 0; i < v; i += LANES) {
            const int n = (int)std::min<long>(LANES, v - i);
            transform.apply(n == LANES ? load(x + i) : tail(x + i, n, 0), z, slope);
            const __m512 q = strop::exp(_mm512_sub_ps(z, log_sum));
            const __m512 dz = _mm512_fmadd_ps(q, level ? share : _mm512_fmadd_ps(slant, z, share), constant);
            _mm256_mask_storeu_epi16(x + i, (__mmask16)((1u << n) - 1), round16(_mm512_mul_ps(dz, slope)));
        }
        alignas(32) bf16 rounded[LANES];
        store(rounded, own);
        x[at] = rounded[0];
    }
}
}
