/* The float32 draws in vectors, one source for every instruction set: the file that includes it has defined the vector
   types and the few operations below, and FANIN_NAME. The bits are those of the element functions.

   LANES        elements of a vector; BLOCKS Philox blocks make 4 vectors
   vf vi vm     floats, 32-bit integers, and masks of a vector
   philox4      the words of BLOCKS blocks from `block` on, as 4 vectors in stream order
   column       a column of the first rows of the table; lookup reads it at an exponent */
#include "native.h"

/* Columns 6 and 7 of the table are zero in every row. */
#define FANIN_HORNER(c)                                                                                             \
    vf q = mul(mul(mul(c(8), v), v), v);                                                                             \
    q = add(q, c(5));                                                                                                \
    q = add(mul(q, v), c(4));                                                                                        \
    q = add(mul(q, v), c(3));                                                                                        \
    q = add(mul(q, v), c(2));                                                                                        \
    q = add(mul(q, v), c(1));                                                                                        \
    return add(mul(q, v), c(0))

/* Row of exponent field e: 126 - e, and e mod ROWS is its place in a column. */
static column columns[FANIN_COEFFICIENTS_F32];

static void prepare(void)
{
    for (int c = 0; c < FANIN_COEFFICIENTS_F32; c++) {
        float values[ROWS];
        for (int row = 0; row < ROWS; row++) values[(126 - row) % ROWS] = fanin_normal_f32[row * FANIN_COEFFICIENTS_F32 + c];
        columns[c] = load_column(values);
    }
}

FANIN_VECTOR vf horner(int far, vi e, vf v)
{
#define NEAR(c) lookup(columns[c], e)
#define FAR(c) gather(fanin_normal_f32 + c, row)
    if (far) {
        const vi row = muli(subi(set1i(126), e), set1i(FANIN_COEFFICIENTS_F32));
        FANIN_HORNER(FAR);
    }
    FANIN_HORNER(NEAR);
}

/* |z| from x: in the tail x is the two-sided probability t, in the centre r = 1 - t. Sets a bit for each lane whose row a
   lookup has not; a far law gathers its rows from the whole table. */
FANIN_VECTOR vf magnitude(int far, vf x, vm central, unsigned *rare)
{
    const vi bits = as_int(x);
    const vi e = selecti(central, set1i(126), shift_right(bits, 23));
    const vf mantissa = as_float(ori(andi(bits, set1i(0x7FFFFF)), set1i(0x3F800000)));
    const vf v = select(central, mul(x, x), sub(set1(2.0f), mantissa));
    const vf q = horner(far, e, v);
    *rare = far ? 0 : lanes_below(e, 126 - ROWS + 1);
    return select(central, mul(x, q), q);
}

/* z of the whole law: both sides have 2^31 words. */
FANIN_VECTOR vf whole_normal(vi w, unsigned *rare)
{
    const vi sign = shift_right_signed(w, 31); /* all ones on the positive side, whose words are complemented */
    const vi k = xori(w, sign);
    const vm central = more_signed(k, set1i((1 << 30) - (1 << 19) - 1));
    const vi j = xori(k, selecti(central, set1i(0x7FFFFFFF), set1i(0)));
    const vf x = mul(set1(0x1p-31f), add(to_float(j), set1(0.5f)));
    return as_float(xori(as_int(magnitude(0, x, central, rare)), andi(noti(sign), set1i(1u << 31))));
}

/* What a truncated law is in terms of words: the T words below `split` are negative; the words from `first_central` on
   for `centrals` words are central. */
typedef struct {
    uint32_t split, first_central, centrals;
    int has_negative, all_central;
    double step[2], tail_offset[2], central_offset; /* of the negative and the positive side */
} fanin_words;

static fanin_words words_of(const fanin_draw *draw)
{
    const fanin_side *n = &draw->negative, *p = &draw->positive;
    return (fanin_words){
        .split = (uint32_t)n->count,
        .first_central = (uint32_t)n->tail_count,
        .centrals = (uint32_t)(0u - (uint32_t)n->tail_count - (uint32_t)p->tail_count),
        .has_negative = n->count > 0,
        .all_central = n->tail_count + p->tail_count == 0,
        .step = {n->step, p->step},
        .tail_offset = {n->tail_offset, p->tail_offset},
        /* Other than 0 only where there is one side. */
        .central_offset = n->central_offset + p->central_offset,
    };
}

/* With w - T for the central words, rank and rank from the near end are the word or its complement. */
FANIN_VECTOR vf truncated_normal(int far, const fanin_words *words, vi w, unsigned *rare)
{
    const vm negative = words->has_negative ? not_more(w, set1i(words->split - 1)) : none();
    const vm central = words->all_central ? all() : below(subi(w, set1i(words->first_central)), set1i(words->centrals));
    const vi base = subi(w, selecti(central, set1i(words->split), set1i(0)));
    const vi j = selecti(same(negative, central), subi(set1i(-1), base), base);
    const vf step = select(negative, set1((float)words->step[0]), set1((float)words->step[1]));
    const vf tail_offset = select(negative, set1((float)words->tail_offset[0]), set1((float)words->tail_offset[1]));
    const vf offset = select(central, set1((float)words->central_offset), tail_offset);
    const vf z = magnitude(far, add(mul(step, add(to_float_unsigned(j), set1(0.5f))), offset), central, rare);
    return as_float(xori(as_int(z), selecti(negative, set1i(1u << 31), set1i(0))));
}

FANIN_VECTOR vf symmetric_unit(vi w)
{
    const vi twice = shift_left(shift_right(w, 8), 1);
    return mul(to_float(addi(twice, set1i(1 - (1 << 24)))), set1(0x1p-24f));
}

/* Elements of the group of vectors at `block` again, one by one: those whose bit is set. */
static __attribute__((noinline, cold)) void redo(const fanin_draw *draw, const uint32_t key[4], uint64_t block, uint64_t rare,
                                                float *out)
{
    for (; rare; rare &= rare - 1) {
        const int n = __builtin_ctzll(rare);
        uint32_t words[4];
        fanin_philox(key, block + n / 4, words);
        const float value = fanin_place(draw, fanin_standard_normal(draw, words[n % 4]));
        memcpy((unsigned char *)out + n * sizeof value, &value, sizeof value); /* of any alignment */
    }
}

FANIN_VECTOR void values(int law, int far, const fanin_draw *draw, const uint32_t key[4], uint64_t block, size_t blocks,
                         float *out)
{
    const fanin_words words = words_of(draw);
    const vf offset = set1((float)draw->offset), scale = set1((float)draw->scale);
    const vf low = set1((float)draw->low), high = set1((float)draw->high);
    for (size_t at = 0; at < blocks; at += BLOCKS, out += 4 * LANES) {
        vi w[4];
        philox4(key, block + at, w);
        uint64_t all_rare = 0;
#pragma GCC unroll 4
        for (int n = 0; n < 4; n++) {
            unsigned rare = 0;
            vf x = law == FANIN_UNIFORM  ? symmetric_unit(w[n])
                   : law == FANIN_NORMAL ? whole_normal(w[n], &rare)
                                         : truncated_normal(far, &words, w[n], &rare);
            x = add(offset, mul(scale, x));
            if (law != FANIN_NORMAL) x = at_most(high, at_least(low, x));
            store_floats(out + n * LANES, x);
            all_rare |= (uint64_t)rare << n * LANES;
        }
        if (__builtin_expect(all_rare != 0, 0)) redo(draw, key, block + at, all_rare, out);
    }
}

/* Whether a side of the law has more than one word in 64 beyond the first `rows`; its step is for one in `parts` of a word. */
static int is_far(const fanin_draw *draw, double parts, int rows)
{
    const fanin_side *sides[] = {&draw->negative, &draw->positive};
    const double least = fanin_double((uint64_t)(1023 + 6 - rows) << 52); /* 64 * 2^-rows */
    for (int n = 0; n < 2; n++)
        if (sides[n]->count && sides[n]->step * parts * (double)sides[n]->count < least) return 1;
    return 0;
}

static void make_values(const fanin_draw *draw, int law, const uint32_t key[4], uint64_t block, size_t blocks, float *out)
{
    /* Constants, so that the loop is compiled for each law alone. */
    if (law == FANIN_UNIFORM) {
        values(FANIN_UNIFORM, 0, draw, key, block, blocks, out);
    } else if (law == FANIN_NORMAL) {
        values(FANIN_NORMAL, 0, draw, key, block, blocks, out);
    } else if (is_far(draw, 1, ROWS)) {
        values(FANIN_TRUNCATED, 1, draw, key, block, blocks, out);
    } else {
        values(FANIN_TRUNCATED, 0, draw, key, block, blocks, out);
    }
}

#include "simd64.h"

static void prepare_both(void)
{
    prepare();
    prepare64();
}

const fanin_level FANIN_NAME = {prepare_both, make_values, fanin_store, make_values64, 1};
