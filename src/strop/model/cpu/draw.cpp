// The next token of every row, from float32 logits as the head gives them, on any processor.
//
// z = cap(scale x), cap(x) = c tanh(x / c) or x where c is 0, a scale and a cap per row, so that each has its own temperature.
// A draw is inverse transform sampling: the first token at which the running sum of e^(z - max) exceeds u times the whole sum.
// Sums are taken over stretches first, so that the place is found without going through all of them twice.

#include <vector>

#include "logits.h"

using namespace strop;

namespace {

struct Row {
    const float* x;
    long v;
    Transform transform;

    Floats at(long i) const {  // z of the numbers from i on; -inf beyond the end
        Floats z, slope;
        transform.apply(some(x + i, v - i), z, slope);
        return only(z, v - i, -INFINITY);
    }
};

}  // namespace

extern "C" {

// u [rows]: in [0, 1), or negative for the largest. token [rows]; logprob [rows]: z of the token - log sum e^z, which is NaN
// for a row with NaN or +inf in it, or of -inf alone (its token is then of no meaning).
void KERNEL(strop_draw)(const float* logits, long rows, long v, const float* scale, const float* cap, const double* u,
                    int64_t* token, float* logprob) {
    const long stretches = (v + STRETCH - 1) / STRETCH;
#pragma omp parallel
    {
        std::vector<float> masses(stretches);
#pragma omp for schedule(static)
        for (long r = 0; r < rows; r++) {
            const Row row{logits + r * v, v, {scale[r], cap[r]}};
            Floats top = every(-INFINITY);
            for (long i = 0; i < v; i += LANES) {
                const Floats z = row.at(i);
                top = z > top ? z : top;  // NaN is passed over here, but not by a sum
            }
            const float highest = largest_of(top);
            double total = 0;
            for (long s = 0; s < stretches; s++) {
                Floats sum{};
                for (long i = s * STRETCH; i < std::min(v, (s + 1) * STRETCH); i += LANES) sum += strop::exp(row.at(i) - highest);
                masses[s] = sum_of(sum);
                total += masses[s];
            }
            long chosen = 0;
            if (u[r] < 0) {
                for (long i = 0; i < v; i += LANES) {
                    const Floats z = row.at(i);
                    int j = 0;
                    while (j < LANES && z[j] != highest) j++;
                    if (j == LANES || i + j >= v) continue;  // beyond the end is -inf, as the largest of nothing but NaN is
                    chosen = i + j;
                    break;
                }
            } else {
                double left = u[r] * total;
                long s = 0;
                while (s + 1 < stretches && left >= masses[s]) left -= masses[s++];
                for (long i = s * STRETCH; left >= 0 && i < std::min(v, (s + 1) * STRETCH); i += LANES) {
                    const Floats part = strop::exp(row.at(i) - highest);
                    for (int j = 0; j < LANES && left >= 0; j++) {
                        if (part[j] > 0) chosen = i + j;  // what rounding leaves over goes to the last that can be drawn
                        left -= part[j];
                    }
                }
            }
            token[r] = chosen;
            logprob[r] = row.transform.one(row.x[chosen]) - highest - (float)std::log(total);
        }
    }
}
}
