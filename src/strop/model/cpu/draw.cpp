// The next token of every row, from float32 logits as the head gives them.
//
// z = cap(scale x) (logits.h), a scale and a cap per row, so that each has its own temperature. A draw is inverse transform
// sampling: the first token at which the running sum of e^(z - max) exceeds u times the whole sum. Sums are taken over
// stretches first, so that the place is found without going through all of them twice.

#include <vector>

#include "logits.h"

using namespace strop;

namespace {

constexpr long STRETCH = 1024;

struct Row {
    const float* x;
    long v;
    Transform transform;
    __m512 at(long i, __mmask16& there) const {  // z of 16 numbers from i on; -inf beyond the end
        const int n = (int)std::min<long>(LANES, v - i);
        there = (__mmask16)((1u << n) - 1);
        __m512 z, slope;
        transform.apply(n == LANES ? load(x + i) : tail(x + i, n, 0), z, slope);
        return _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), there, z);
    }
};

}  // namespace

extern "C" {

// u [rows]: in [0, 1), or negative for the largest. token [rows]; logprob [rows]: z of the token - log sum e^z, which is NaN
// for a row with NaN or +inf in it, or of -inf alone (its token is then of no meaning).
void strop_draw(const float* logits, long rows, long v, const float* scale, const float* cap, const double* u,
                int64_t* token, float* logprob) {
    const long stretches = (v + STRETCH - 1) / STRETCH;
#pragma omp parallel
    {
        std::vector<float> masses(stretches);
#pragma omp for schedule(static)
        for (long r = 0; r < rows; r++) {
            const Row row{logits + r * v, v, {scale[r], cap[r]}};
            __mmask16 there;
            __m512 top = _mm512_set1_ps(-INFINITY);
            for (long i = 0; i < v; i += LANES) top = _mm512_max_ps(top, row.at(i, there));
            const float highest = _mm512_reduce_max_ps(top);
            top = _mm512_set1_ps(highest);
            double total = 0;
            for (long s = 0; s < stretches; s++) {
                __m512 sum = _mm512_setzero_ps();
                for (long i = s * STRETCH; i < std::min(v, (s + 1) * STRETCH); i += LANES)
                    sum = _mm512_add_ps(sum, strop::exp(_mm512_sub_ps(row.at(i, there), top)));
                masses[s] = _mm512_reduce_add_ps(sum);
                total += masses[s];
            }
            long chosen = 0;
            alignas(64) float part[LANES];
            if (u[r] < 0) {
                for (long i = 0; i < v; i += LANES) {
                    const __mmask16 equal = _mm512_cmp_ps_mask(row.at(i, there), top, _CMP_EQ_OQ) & there;
                    if (!equal) continue;
                    chosen = i + __builtin_ctz(equal);
                    break;
                }
            } else {
                double left = u[r] * total;
                long s = 0;
                while (s + 1 < stretches && left >= masses[s]) left -= masses[s++];
                for (long i = s * STRETCH; i < std::min(v, (s + 1) * STRETCH); i += LANES) {
                    _mm512_store_ps(part, strop::exp(_mm512_sub_ps(row.at(i, there), top)));
                    for (int j = 0; j < LANES && left >= 0; j++) {
                        if (part[j] > 0) chosen = i + j;  // what rounding leaves over goes to the last that can be drawn
                        left -= part[j];
                    }
                    if (left < 0) break;
                }
            }
            token[r] = chosen;
            // NaN is passed over by the instruction for the larger of two, but not by a sum
            logprob[r] = row.transform.one(row.x[chosen]) - highest - (float)std::log(total);
        }
    }
}
}
