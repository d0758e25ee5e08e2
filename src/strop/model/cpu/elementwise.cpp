// Element-by-element steps of a block in one pass each, in bfloat16 with float32 arithmetic: root-mean-square norm and
// gated linear unit, forward and backward. Rows are contiguous; widths are multiples of 16.

#include <cmath>
#include <vector>

#include "bf16.h"

using namespace strop;

extern "C" {

// y = x r w with r = 1 / sqrt(mean(x^2) + eps), per row of x [rows, d]; r is kept. w: float32 [d].
void strop_rms_norm(const bf16* x, const float* w, bf16* y, float* r, long rows, long d, float eps) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < rows; i++) {
        __m512 sum = _mm512_setzero_ps();
        for (long j = 0; j < d; j += LANES) {
            const __m512 a = load(x + i * d + j);
            sum = _mm512_fmadd_ps(a, a, sum);
        }
        r[i] = 1.f / std::sqrt(_mm512_reduce_add_ps(sum) / d + eps);
        const __m512 factor = _mm512_set1_ps(r[i]);
        for (long j = 0; j < d; j += LANES)
            store(y + i * d + j, _mm512_mul_ps(_mm512_mul_ps(load(x + i * d + j), factor), load(w + j)));
    }
}

// dx = r (g w - x r^2 mean(g w x));  dw = sum over rows of g x r, float32, each thread's rows summed apart. dw may be
// null: w is frozen.
void strop_rms_norm_backward(const bf16* x, const float* w, const float* r, const bf16* g, bf16* dx, float* dw, long rows,
                             long d, int threads) {
    std::vector<float> sums(dw ? (size_t)threads * d : 0);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++) {
        float* mine = dw ? sums.data() + (size_t)t * d : nullptr;
        for (long i = rows * t / threads; i < rows * (t + 1) / threads; i++) {
            const __m512 factor = _mm512_set1_ps(r[i]);
            __m512 dot = _mm512_setzero_ps();
            for (long j = 0; j < d; j += LANES) {
                const __m512 a = load(x + i * d + j), b = load(g + i * d + j);
                dot = _mm512_fmadd_ps(_mm512_mul_ps(a, b), load(w + j), dot);
                if (mine) store(mine + j, _mm512_fmadd_ps(_mm512_mul_ps(a, b), factor, load(mine + j)));
            }
            const __m512 back = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / d * r[i] * r[i]);
            for (long j = 0; j < d; j += LANES) {
                const __m512 a = load(x + i * d + j), b = _mm512_mul_ps(load(g + i * d + j), load(w + j));
                store(dx + i * d + j, _mm512_mul_ps(factor, _mm512_fnmadd_ps(a, back, b)));
            }
        }
    }
    for (long j = 0; dw && j < d; j++) {
        dw[j] = 0;
        for (int t = 0; t < threads; t++) dw[j] += sums[(size_t)t * d + j];
    }
}

// e^-x, at most e^80, but of -inf none: x / (1 + e^-x) is then NaN, as torch has it.
static inline __m512 exp_minus(__m512 x) {
    const __m512 e = strop::exp(_mm512_min_ps(_mm512_set1_ps(80.f), _mm512_sub_ps(_mm512_setzero_ps(), x)));
    const __mmask16 none = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ);
    return _mm512_mask_mov_ps(e, none, _mm512_set1_ps(INFINITY));
}

// y = silu(a) b, silu(a) = a / (1 + e^-a), over n numbers.
void strop_silu_gate(const bf16* a, const bf16* b, bf16* y, long n) {
    const __m512 one = _mm512_set1_ps(1.f);
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i += LANES) {
        const __m512 x = load(a + i);
        const __m512 e = exp_minus(x);
        store(y + i, _mm512_mul_ps(_mm512_div_ps(x, _mm512_add_ps(one, e)), load(b + i)));
    }
}

// da = g b s (1 + a (1 - s)) with s = 1 / (1 + e^-a);  db = g a s.
void strop_silu_gate_backward(const bf16* a, const bf16* b, const bf16* g, bf16* da, bf16* db, long n) {
    const __m512 one = _mm512_set1_ps(1.f);
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i += LANES) {
        const __m512 x = load(a + i), up = load(b + i), grad = load(g + i);
        const __m512 e = exp_minus(x);
        const __m512 s = _mm512_div_ps(one, _mm512_add_ps(one, e));
        const __m512 slope = _mm512_mul_ps(s, _mm512_fmadd_ps(x, _mm512_sub_ps(one, s), one));
        store(da + i, _mm512_mul_ps(_mm512_mul_ps(grad, up), slope));
        store(db + i, _mm512_mul_ps(grad, _mm512_mul_ps(x, s)));
    }
}
}
