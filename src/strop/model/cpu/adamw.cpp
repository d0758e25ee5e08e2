// AdamW in one pass over memory, on float32 masters that are stored as a bfloat16 weight and 16 more bits:
// bits(master) = (hi << 16) + low, hi the master rounded to the nearest bfloat16, ties away from zero, low signed.

#include <algorithm>
#include <cmath>

#include "bf16.h"

using namespace strop;

namespace {

constexpr long BLOCK = 256;      // numbers of a moment that share a scale
constexpr long SMALL = 1 << 15;  // done in 30 microseconds: no second thread is woken

inline __m512 join(const bf16* hi, const int16_t* low) {
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)hi)), 16);
    const __m512i rest = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i*)low));
    return _mm512_castsi512_ps(_mm512_add_epi32(high, rest));
}

inline void split(__m512 x, bf16* hi, int16_t* low) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i high = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)), 16);
    _mm256_storeu_si256((__m256i*)hi, _mm512_cvtepi32_epi16(high));
    _mm256_storeu_si256((__m256i*)low, _mm512_cvtepi32_epi16(bits));
}

struct Step {
    __m512 scale, beta1, rest1, beta2, rest2, unbias, eps, decay, rate;

    Step(double lr, double b1, double b2, double epsilon, double weight_decay, long step, double grad_scale)
        : scale(all(grad_scale)), beta1(all(b1)), rest1(all(1 - b1)), beta2(all(b2)), rest2(all(1 - b2)),
          unbias(all(1 / std::sqrt(1 - std::pow(b2, step)))), eps(all(epsilon)), decay(all(lr * weight_decay)),
          rate(all(lr / (1 - std::pow(b1, step)))) {}

    static __m512 all(double x) { return _mm512_set1_ps((float)x); }

    // Of 16 numbers: m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
    // x -= lr weight_decay x + lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps), summed before it is taken
    // off, since 1 - lr weight_decay is 1 in float32 where that is below 3e-8. Returns sqrt(v).
    template <class G>
    __m512 take(bf16* hi, int16_t* low, const G* grad, __m512& m, __m512& v) const {
        const __m512 g = _mm512_mul_ps(load(grad), scale), x = join(hi, low);
        m = _mm512_fmadd_ps(beta1, m, _mm512_mul_ps(rest1, g));
        v = _mm512_fmadd_ps(beta2, v, _mm512_mul_ps(_mm512_mul_ps(rest2, g), g));
        const __m512 root = _mm512_sqrt_ps(v);
        const __m512 direction = _mm512_div_ps(m, _mm512_fmadd_ps(root, unbias, eps));
        split(_mm512_sub_ps(x, _mm512_fmadd_ps(decay, x, _mm512_mul_ps(rate, direction))), hi, low);
        return root;
    }
};

template <class G>
void adamw_row(bf16* hi, int16_t* low, const G* grad, float* m, float* v, const Step& step) {
    __m512 first = load(m), second = load(v);
    step.take(hi, low, grad, first, second);
    store(m, first);
    store(v, second);
}

template <class G>
void adamw(bf16* hi, int16_t* low, const G* grad, float* m, float* v, long n, const Step& step) {
    const long whole = n / LANES * LANES, rest = n - whole;
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (long i = 0; i < whole; i += LANES) adamw_row(hi + i, low + i, grad + i, m + i, v + i, step);
    if (rest) {  // by way of a whole row
        bf16 h[LANES] = {};
        int16_t l[LANES] = {};
        G g[LANES] = {};
        float first[LANES] = {}, second[LANES] = {};
        std::copy_n(hi + whole, rest, h), std::copy_n(low + whole, rest, l), std::copy_n(grad + whole, rest, g);
        std::copy_n(m + whole, rest, first), std::copy_n(v + whole, rest, second);
        adamw_row(h, l, g, first, second, step);
        std::copy_n(h, rest, hi + whole), std::copy_n(l, rest, low + whole);
        std::copy_n(first, rest, m + whole), std::copy_n(second, rest, v + whole);
    }
}

// A moment of one block in 8 bits: number = map[code] * scale; codes are looked up by the float16 of number / scale,
// whose bits as a signed number, plus 32768, are the place in the table.
struct Moment {
    uint8_t* code;
    float* scale;
    const float* map;      // [256]
    const uint8_t* codes;  // [65536]

    Moment block(long b) const { return {code + b * BLOCK, scale + b, map, codes}; }

    __m512 get(long i) const {
        const __m512i place = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)(code + i)));
        return _mm512_mul_ps(_mm512_i32gather_ps(place, map, 4), _mm512_set1_ps(*scale));
    }

    // One load per number beat gathering by a sixth (Zen 4); for `get`, gathering won.
    void put(const float* x, float largest) const {
        alignas(64) uint16_t place[BLOCK];
        const __m512 divisor = _mm512_set1_ps(std::max(largest, 1.17549435e-38f));
        for (long i = 0; i < BLOCK; i += LANES) {
            const __m256i half = _mm512_cvtps_ph(_mm512_div_ps(load(x + i), divisor), _MM_FROUND_TO_NEAREST_INT);
            _mm256_store_si256((__m256i*)(place + i), _mm256_xor_si256(half, _mm256_set1_epi16((short)0x8000)));
        }
        uint8_t* __restrict to = code;
        const uint8_t* __restrict from = codes;
        for (long i = 0; i < BLOCK; i++) to[i] = from[place[i]];
        *scale = largest;
    }
};

template <class G>
void adamw_block(bf16* hi, int16_t* low, const G* grad, Moment m, Moment root, const Step& step) {
    alignas(64) float first[BLOCK], second[BLOCK];
    __m512 first_max = _mm512_setzero_ps(), second_max = _mm512_setzero_ps();
    for (long i = 0; i < BLOCK; i += LANES) {
        __m512 x = m.get(i), r = root.get(i), v = _mm512_mul_ps(r, r);
        r = step.take(hi + i, low + i, grad + i, x, v);
        first_max = _mm512_max_ps(first_max, _mm512_abs_ps(x));
        second_max = _mm512_max_ps(second_max, r);
        store(first + i, x);
        store(second + i, r);
    }
    m.put(first, _mm512_reduce_max_ps(first_max));
    root.put(second, _mm512_reduce_max_ps(second_max));
}

template <class G>
void adamw_8bit(bf16* hi, int16_t* low, const G* grad, const Moment& m, const Moment& root, long n, const Step& step) {
    const long whole = n / BLOCK, rest = n % BLOCK, at = whole * BLOCK;
#pragma omp parallel for schedule(static) if (n >= SMALL)
    for (long b = 0; b < whole; b++)
        adamw_block(hi + b * BLOCK, low + b * BLOCK, grad + b * BLOCK, m.block(b), root.block(b), step);
    if (rest) {  // what fills the last block has gradient 0, and so the smallest moments of it
        bf16 h[BLOCK] = {};
        int16_t l[BLOCK] = {};
        G g[BLOCK] = {};
        std::copy_n(hi + at, rest, h), std::copy_n(low + at, rest, l), std::copy_n(grad + at, rest, g);
        adamw_block(h, l, g, m.block(whole), root.block(whole), step);
        std::copy_n(h, rest, hi + at), std::copy_n(l, rest, low + at);
    }
}

}  // namespace

extern "C" {

// Of n float32 numbers; NaNs of the largest bit patterns lose hi, but join gives every pattern back.
void strop_split(const float* master, bf16* hi, int16_t* low, long n) {
#pragma omp parallel for simd schedule(static) if (n >= SMALL)
    for (long i = 0; i < n; i++) {
        uint32_t bits;
        std::memcpy(&bits, master + i, sizeof bits);
        hi[i] = (bf16)((bits + 0x8000) >> 16);
        low[i] = (int16_t)bits;
    }
}

void strop_join(const bf16* hi, const int16_t* low, float* master, long n) {
#pragma omp parallel for simd schedule(static) if (n >= SMALL)
    for (long i = 0; i < n; i++) {
        const uint32_t bits = ((uint32_t)hi[i] << 16) + (uint32_t)(int32_t)low[i];
        std::memcpy(master + i, &bits, sizeof bits);
    }
}

// One step over n masters; grad is bfloat16 or float32 and is multiplied by grad_scale first. m, v: float32 [n].
void strop_adamw(bf16* hi, int16_t* low, const void* grad, int grad_is_bf16, float* m, float* v, long n, double lr,
                 double beta1, double beta2, double eps, double weight_decay, long step, double grad_scale) {
    const Step rule(lr, beta1, beta2, eps, weight_decay, step, grad_scale);
    grad_is_bf16 ? adamw(hi, low, (const bf16*)grad, m, v, n, rule) : adamw(hi, low, (const float*)grad, m, v, n, rule);
}

// The same with m and the root of v in blocks of 256 codes and one scale; codes are there for whole blocks.
void strop_adamw_8bit(bf16* hi, int16_t* low, const void* grad, int grad_is_bf16, uint8_t* m, float* m_scale,
                      uint8_t* root, float* root_scale, const float* m_map, const uint8_t* m_codes,
                      const float* root_map, const uint8_t* root_codes, long n, double lr, double beta1, double beta2,
                      double eps, double weight_decay, long step, double grad_scale) {
    const Step rule(lr, beta1, beta2, eps, weight_decay, step, grad_scale);
    const Moment first{m, m_scale, m_map, m_codes}, second{root, root_scale, root_map, root_codes};
    grad_is_bf16 ? adamw_8bit(hi, low, (const bf16*)grad, first, second, n, rule)
                 : adamw_8bit(hi, low, (const float*)grad, first, second, n, rule);
}
}
