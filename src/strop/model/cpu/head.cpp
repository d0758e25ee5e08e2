// What a language model's head needs besides its matrix products, on one chunk of logits, with float32 sums.
//
// z is what the model calls its logits (logits.h). Logits [rows, v] are contiguous; what is kept of a row is float32 [rows].

#include "logits.h"

using namespace strop;

extern "C" {

// Per row of logits [rows, v]: label = z at the label, lse = log sum e^z, mean = the mean of z, entropy = lse - sum p z.
// A row with NaN or +inf in it, or of -inf alone, has lse NaN.
void KERNEL(strop_head_statistics)(const Number* logits, long rows, long v, const int64_t* labels, float scale, float cap,
                                   float* label, float* lse, float* mean, float* entropy) {
    const Transform transform{scale, cap};
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++) {
        const Number* x = logits + r * v;
        Floats top = every(-INFINITY), z, slope;
        for (long i = 0; i < v; i += LANES) {
            transform.apply(some(x + i, v - i), z, slope);
            z = only(z, v - i, -INFINITY);
            top = z > top ? z : top;  // NaN is passed over here, but not by a sum
        }
        const float highest = largest_of(top);
        double mass = 0, mean_sum = 0, weighted_sum = 0;  // of stretches: a float32 sum of a whole vocabulary is 1e-5 off
        for (long begin = 0; begin < v; begin += STRETCH) {
            Floats sum{}, total{}, weighted{};
            for (long i = begin; i < std::min(v, begin + STRETCH); i += LANES) {
                transform.apply(some(x + i, v - i), z, slope);
                const Floats e = only(strop::exp(z - highest), v - i, 0);
                z = only(z, v - i, 0);
                sum += e;
                total += z;
                weighted += e * z;
            }
            mass += sum_of(sum), mean_sum += sum_of(total), weighted_sum += sum_of(weighted);
        }
        label[r] = transform.one(number(x[labels[r]]));
        lse[r] = highest + std::log(mass);
        mean[r] = mean_sum / v;
        entropy[r] = lse[r] - weighted_sum / mass;
    }
}

// Logits are overwritten by the gradient with respect to them. With the gradients of a row's log-probability (g_label), lse,
// mean and entropy, and p = e^(z - lse):  dz = g_label 1[label] + p (g_lse - g_label - g_entropy (z - lse + entropy)) + g_mean / v
void KERNEL(strop_head_gradient)(Number* logits, long rows, long v, const int64_t* labels, float scale, float cap,
                                 const float* lse, const float* entropy, const float* g_label, const float* g_lse,
                                 const float* g_mean, const float* g_entropy) {
    const Transform transform{scale, cap};
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++) {
        Number* x = logits + r * v;
        const float constant = g_mean[r] / v, slant = -g_entropy[r];
        const bool level = slant == 0;  // then z, which may be -inf, does not count, nor does the entropy of it
        const float share = g_lse[r] - g_label[r] + (level ? 0 : g_entropy[r] * (lse[r] - entropy[r]));
        const auto gradient = [&](Floats x, float own) {
            Floats z, slope;
            transform.apply(x, z, slope);
            const Floats p = strop::exp(z - lse[r]);
            return slope * (p * (level ? every(share) : z * slant + share) + constant + own);
        };
        Number rounded[LANES];
        const long at = labels[r];
        store(rounded, gradient(every(number(x[at])), g_label[r]));
        const Number own = rounded[0];
        for (long i = 0; i < v; i += LANES) {
            const Floats dx = gradient(some(x + i, v - i), 0);
            if (i + LANES <= v) {
                store(x + i, dx);
                continue;
            }
            store(rounded, dx);
            std::copy(rounded, rounded + v - i, x + i);
        }
        x[at] = own;
    }
}
}
