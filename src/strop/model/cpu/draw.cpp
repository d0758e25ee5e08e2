// The next token of every row, from float32 logits as the head gives them, on any processor.
//
// z = cap(scale x), cap(x) = c tanh(x / c) or x where c is 0, a scale and a cap per row, so that each has its own temperature.
// A draw is inverse transform sampling: the first token at which the running sum of e^(z - max) exceeds u times the whole sum.
// Sums are taken over stretches first, so that the place is found without going through all of them twice.

#include <vector>

#include "wide.h"

using namespace strop;

namespace {

constexpr long STRETCH = 1024;

struct Row {
    const float* x;
    long v;
    float scale, cap;

    Wide at(long i) const {  // z of the numbers from i on; -inf beyond the end
        if (i + WIDE <= v) return z(load(x + i));
        float some[WIDE];
        for (int j = 0; j < WIDE; j++) some[j] = i + j < v ? x[i + j] : 0;
        Wide found = z(load(some));
        for (int j = v - i; j < WIDE; j++) found[j] = -INFINITY;
        return found;
    }

    Wide z(Wide from) const {
        const Wide scaled = from * scale;
        if (cap == 0) return scaled;
        // tanh(a) = 1 - 2 / (e^(2a) + 1); beyond |a| = 20 it is 1 in float32, and of what is no number it is none
        Wide a = scaled / cap;
        a = a > 20.f ? every<Wide>(20.f) : a;
        a = a < -20.f ? every<Wide>(-20.f) : a;
        return (1.f - 2.f / (strop::exp(a + a) + 1.f)) * cap;
    }

    float one(long i) const { return cap == 0 ? x[i] * scale : cap * std::tanh(x[i] * scale / cap); }
};

}  // namespace

extern "C" {

// u [rows]: in [0, 1), or negative for the largest. token [rows]; logprob [rows]: z of the token - log sum e^z, which is NaN
// for a row with NaN or +inf in it, or of -inf alone (its token is then of no meaning).
void strop_draw_f32(const float* logits, long rows, long v, const float* scale, const float* cap, const double* u,
                    int64_t* token, float* logprob) {
    const long stretches = (v + STRETCH - 1) / STRETCH;
#pragma omp parallel
    {
        std::vector<float> masses(stretches);
#pragma omp for schedule(static)
        for (long r = 0; r < rows; r++) {
            const Row row{logits + r * v, v, scale[r], cap[r]};
            Wide top = every<Wide>(-INFINITY);
            for (long i = 0; i < v; i += WIDE) {
                const Wide z = row.at(i);
                top = z > top ? z : top;  // NaN is passed over here, but not by a sum
            }
            const float highest = largest_of(top);
            double total = 0;
            for (long s = 0; s < stretches; s++) {
                Wide sum{};
                for (long i = s * STRETCH; i < std::min(v, (s + 1) * STRETCH); i += WIDE) sum += strop::exp(row.at(i) - highest);
                masses[s] = sum_of(sum);
                total += masses[s];
            }
            long chosen = 0;
            if (u[r] < 0) {
                for (long i = 0; i < v; i += WIDE) {
                    const Wide z = row.at(i);
                    int j = 0;
                    while (j < WIDE && z[j] != highest) j++;
                    if (j == WIDE || i + j >= v) continue;  // beyond the end is -inf, as the largest of nothing but NaN is
                    chosen = i + j;
                    break;
                }
            } else {
                double left = u[r] * total;
                long s = 0;
                while (s + 1 < stretches && left >= masses[s]) left -= masses[s++];
                for (long i = s * STRETCH; left >= 0 && i < std::min(v, (s + 1) * STRETCH); i += WIDE) {
                    const Wide part = strop::exp(row.at(i) - highest);
                    for (int j = 0; j < WIDE && left >= 0; j++) {
                        if (part[j] > 0) chosen = i + j;  // what rounding leaves over goes to the last that can be drawn
                        left -= part[j];
                    }
                }
            }
            token[r] = chosen;
            logprob[r] = row.one(chosen) - highest - (float)std::log(total);
        }
    }
}
}
