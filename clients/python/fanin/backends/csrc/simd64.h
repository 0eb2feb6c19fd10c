/* The float64 draws in vectors, included by simd.h: one source over these operations, again of the file for the
   instructions. The bits are those of the element functions.

   vf64 vi64 vm64   doubles, 64-bit integers, and masks of half as many lanes
   join             the 64-bit words of a vector of main and one of low words, as 2 vectors in stream order
   high_below       compares the upper halves of 64-bit lanes
   to_double        rounds an unsigned integer once
   coefficients     4 columns of `rows`, from one on, at an exponent; ROWS64 are those it has unless far */

enum { VECTORS = 8, TERMS = FANIN_TERMS_F64 };
#define powers fanin_powers_f64
#define EACH64 for (int n = 0; n < VECTORS; n++)

static void prepare64(void)
{
    for (int row = 0; row < ROWS64; row++)
        for (int term = 0; term < TERMS; term++)
            table64[place_in_table64(row, term)] = fanin_normal_f64[row * FANIN_COEFFICIENTS_F64 + powers[term]];
}

/* Horner's rule for several vectors at once, as each waits long for its last result. A loop, since a compiler that sees
   all of it reads all coefficients first and runs out of registers. */
FANIN_VECTOR void horner64(int far, const vi64 e[VECTORS], const vf64 v[VECTORS], vf64 q[VECTORS])
{
    vf64 c[VECTORS][4];
    EACH64 coefficients(far, 12, e[n], c[n]); /* of the powers 13, 15, 18 and 24 */
    EACH64 q[n] = c[n][3];
    for (int power = 24; power > 18; power--) EACH64 q[n] = mul64(q[n], v[n]);
    EACH64 q[n] = add64(q[n], c[n][2]);
    for (int power = 18; power > 15; power--) EACH64 q[n] = mul64(q[n], v[n]);
    EACH64 q[n] = add64(q[n], c[n][1]);
    for (int power = 15; power > 13; power--) EACH64 q[n] = mul64(q[n], v[n]);
    EACH64 q[n] = add64(q[n], c[n][0]);
    EACH64 q[n] = mul64(q[n], v[n]);
#pragma GCC unroll 1
    for (int power = 8; power >= 0; power -= 4) {
        EACH64 coefficients(far, power, e[n], c[n]);
#pragma GCC unroll 4
        for (int at = 3; at >= 0; at--) EACH64 q[n] = add64(mul64(q[n], v[n]), c[n][at]);
    }
}

/* x = t in the tail, r = 1 - t in the centre. */
typedef struct {
    vf64 x;
    vm64 central;
    vi64 sign; /* of z */
} fanin_place_in_law;

/* Both sides have 2^31 words. */
FANIN_VECTOR fanin_place_in_law whole64(vi64 w)
{
    const vi64 half = set64i((uint64_t)1 << 63);
    const vi64 k = xor64i(w, fill_with_sign(w)); /* words of the positive side are complemented */
    const vm64 central = high_below(set64i(((uint64_t)((1 << 30) - (1 << 19)) << 32) - 1), k);
    const vi64 j = xor64i(k, select64i(central, set64i(((uint64_t)1 << 63) - 1), set64i(0)));
    return (fanin_place_in_law){
        .x = mul64(set64(0x1p-63), add64(to_double(j), set64(0.5))),
        .central = central,
        .sign = and_not64i(half, w),
    };
}

/* As truncated_normal in simd.h. */
FANIN_VECTOR fanin_place_in_law truncated64(const fanin_words *words, vi64 w)
{
    const vi64 split = set64i((uint64_t)words->split << 32);
    const vi64 first_central = set64i((uint64_t)words->first_central << 32);
    const vi64 centrals = set64i((uint64_t)words->centrals << 32);
    const vm64 positive = words->has_negative ? high_below(sub64i(split, set64i(1)), w) : all64();
    const vm64 central = words->all_central ? all64() : high_below(sub64i(w, first_central), centrals);
    const vi64 base = sub64i(w, select64i(central, split, set64i(0)));
    const vi64 j = xor64i(base, select64i(same64(positive, central), set64i(0), set64i(-1)));
    const vf64 step = select64(positive, set64(words->step[1]), set64(words->step[0]));
    const vf64 tail_offset = select64(positive, set64(words->tail_offset[1]), set64(words->tail_offset[0]));
    const vf64 offset = select64(central, set64(words->central_offset), tail_offset);
    return (fanin_place_in_law){
        .x = add64(mul64(step, add64(to_double(j), set64(0.5))), offset),
        .central = central,
        .sign = select64i(positive, set64i(0), set64i((uint64_t)1 << 63)),
    };
}

/* Without a conversion: the two parts of the odd multiple of 2^-53 are a number of [2^21, 2^22) and one of [1/2, 1) less
   their beginnings. The difference and the sum are exact. */
FANIN_VECTOR vf64 symmetric_unit64(vi64 w)
{
    const vi64 upper = or64i(shift_right64(w, 32), as_int64(set64(0x1p21)));
    const vi64 lower = or64i(and64i(shift_right64(w, 10), set64i(0x3FFFFE)), or64i(as_int64(set64(0.5)), set64i(1)));
    return add64(sub64(as_double(upper), set64(0x1p21 + 1.5)), as_double(lower));
}

/* z of some vectors' words; sets a bit of `rare` for each element whose row is not among ROWS64. */
FANIN_VECTOR void normals64(int law, const fanin_words *words, const vi64 w[VECTORS], vf64 z[VECTORS], uint64_t *rare)
{
    vi64 e[VECTORS];
    vf64 v[VECTORS], q[VECTORS];
    fanin_place_in_law place[VECTORS];
#pragma GCC unroll 8
    EACH64 {
        place[n] = law == NORMAL ? whole64(w[n]) : truncated64(words, w[n]);
        const vf64 x = place[n].x;
        const vi64 bits = as_int64(x);
        const vf64 mantissa = as_double(or64i(and64i(bits, set64i(0xFFFFFFFFFFFFF)), as_int64(set64(1.0))));
        e[n] = select64i(place[n].central, set64i(1022), shift_right64(bits, 52));
        v[n] = select64(place[n].central, mul64(x, x), sub64(set64(2.0), mantissa));
        if (law != FAR) *rare |= (uint64_t)lanes_below64(e[n], 1022 - ROWS64 + 1) << n * LANES / 2;
    }
    horner64(law == FAR, e, v, q);
    EACH64 z[n] = as_double(xor64i(as_int64(select64(place[n].central, mul64(place[n].x, q[n]), q[n])), place[n].sign));
}

/* Elements of the group at `block` one by one: those whose bit is set. */
static __attribute__((noinline, cold)) void redo64(const fanin_draw *draw, int law, const uint32_t keys[8], uint64_t block,
                                                  uint64_t lanes, unsigned char *out)
{
    for (; lanes; lanes &= lanes - 1) {
        const int n = __builtin_ctzll(lanes);
        uint32_t high[4], low[4];
        fanin_philox(keys, block + n / 4, high);
        fanin_philox(keys + 4, block + n / 4, low);
        const double value = fanin_place64(draw, law == UNIFORM ? fanin_symmetric_unit64(high[n % 4], low[n % 4])
                                                                : fanin_standard_normal64(draw, high[n % 4], low[n % 4]));
        fanin_put(out + n * sizeof value, fanin_bits64(value), sizeof value);
    }
}

/* As make_groups in simd.h, of doubles. */
FANIN_VECTOR void make_groups64(int law, const fanin_draw *draw, const uint32_t keys[8], uint64_t block, size_t groups,
                                unsigned char *out)
{
    const fanin_words words = words_of(draw);
    const fanin_rounds rounds = fanin_rounds_of(keys, block), low_rounds = fanin_rounds_of(keys + 4, block);
    const vf64 offset = set64(draw->offset), scale = set64(draw->scale);
    const vf64 least = set64(draw->low), most = set64(draw->high);
    for (; groups; groups--, block += BLOCKS, out += GROUP * sizeof(double)) {
        vi high[4], low[4];
        vi64 w[VECTORS];
        philox4(&rounds, (uint32_t)block, high);
        philox4(&low_rounds, (uint32_t)block, low);
#pragma GCC unroll 4
        for (int n = 0; n < 4; n++) join(high[n], low[n], w + 2 * n);
        vf64 x[VECTORS];
        uint64_t rare = 0;
        if (law != UNIFORM) normals64(law, &words, w, x, &rare);
#pragma GCC unroll 8
        EACH64 {
            if (law == UNIFORM) x[n] = symmetric_unit64(w[n]);
            x[n] = add64(offset, mul64(scale, x[n]));
            if (law != NORMAL) x[n] = at_most64(most, at_least64(least, x[n]));
            store_doubles(x[n], out + n * LANES / 2 * sizeof(double));
        }
        if (__builtin_expect(rare != 0, 0)) redo64(draw, law, keys, block, rare, out);
    }
}
