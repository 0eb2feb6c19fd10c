/* The float32 draws in vectors, one source for every instruction set: the file that includes it has defined the vector
   types and the few operations below, and FANIN_NAME. The bits are those of the element functions.

   LANES        elements of a vector; BLOCKS Philox blocks make a group, 4 vectors
   vf vi vm     floats, 32-bit integers, and masks of a vector
   philox4      the words of the BLOCKS blocks from `block` on, as 4 vectors in stream order
   column       a column of the first ROWS rows of the table; lookup reads one at an exponent field, modulo ROWS
   pack_*       4 vectors of bits, of floats for F16, to elements of 2 or 1 bytes: those are the upper halves of pack_upper's
                lanes, and the lowest bytes of pack_bytes's */

enum { GROUP = 4 * LANES };

/* Laws, as they differ in the loop. */
enum {
    UNIFORM,
    NORMAL,
    SYMMETRIC, /* a truncated law of two equal sides, all of whose rows a lookup has */
    TRUNCATED, /* any other: the few words whose row a lookup has not are done again ... */
    FAR        /* ... and where these are not few, every row is gathered from the whole table */
};

/* The vectors of a group take turns, since each step of one waits for the step before. */
#define EACH for (int n = 0; n < 4; n++)

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

/* Columns 6 and 7 of the table are zero in every row. */
#define FANIN_HORNER(c)                                                                                              \
    EACH q[n] = mul(mul(mul(c(8), v[n]), v[n]), v[n]);                                                               \
    EACH q[n] = add(q[n], c(5));                                                                                     \
    EACH q[n] = add(mul(q[n], v[n]), c(4));                                                                          \
    EACH q[n] = add(mul(q[n], v[n]), c(3));                                                                          \
    EACH q[n] = add(mul(q[n], v[n]), c(2));                                                                          \
    EACH q[n] = add(mul(q[n], v[n]), c(1));                                                                          \
    EACH q[n] = add(mul(q[n], v[n]), c(0))

FANIN_VECTOR void horner(const column *columns, int far, const vi *e, const vf *v, vf *q)
{
#define NEAR(c) lookup(columns, c, e[n])
#define GATHERED(c) gather(fanin_normal_f32 + c, muli(subi(set1i(126), e[n]), set1i(FANIN_COEFFICIENTS_F32)))
    if (far) {
        FANIN_HORNER(GATHERED);
    } else {
        FANIN_HORNER(NEAR);
    }
}

/* |z| from x: in the tail x is the two-sided probability t, in the centre r = 1 - t. `e` becomes the exponent field of the
   row. */
FANIN_VECTOR void magnitude(const column *columns, int far, const vm *central, vf *x, vi *e)
{
    vf v[4], q[4];
    EACH e[n] = exponent_unless(central[n], as_int(x[n]), 126);
    EACH v[n] = select(central[n], mul(x[n], x[n]), sub(set1(2.0f), mantissa(x[n])));
    horner(columns, far, e, v, q);
    EACH x[n] = mul_where(central[n], q[n], x[n]);
}

/* z of a law whose sides are equal, of 2^31 words each. */
FANIN_VECTOR void symmetric_normal(const column *columns, vi last_of_tail, vf step, int has_offset, vf tail_offset, const vi *w,
                                   vf *x, vi *e)
{
    vi k[4];
    vm central[4];
    /* The sign is all ones on the positive side, whose words are complemented. */
    EACH k[n] = xori(w[n], shift_right_signed(w[n], 31));
    EACH central[n] = more_signed(k[n], last_of_tail);
    EACH x[n] = mul(step, add(to_float(flip(central[n], k[n], 0x7FFFFFFF)), set1(0.5f)));
    if (has_offset) EACH x[n] = add_unless(central[n], x[n], tail_offset);
    magnitude(columns, 0, central, x, e);
    EACH x[n] = copy_inverted_sign(w[n], x[n]);
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
FANIN_VECTOR void truncated_normal(const column *columns, int far, const fanin_words *words, const vi *w, vf *x, vi *e)
{
    vm negative[4], central[4];
    EACH negative[n] = words->has_negative ? not_more(w[n], set1i(words->split - 1)) : none();
    EACH central[n] = words->all_central ? all() : below(subi(w[n], set1i(words->first_central)), set1i(words->centrals));
    EACH {
        const vi base = subi_where(central[n], w[n], set1i(words->split));
        const vi j = flip(same(negative[n], central[n]), base, 0xFFFFFFFF);
        const vf step = select(negative[n], set1((float)words->step[0]), set1((float)words->step[1]));
        const vf tail_offset = select(negative[n], set1((float)words->tail_offset[0]), set1((float)words->tail_offset[1]));
        const vf offset = select(central[n], set1((float)words->central_offset), tail_offset);
        x[n] = add(mul(step, add(to_float_unsigned(j), set1(0.5f))), offset);
    }
    magnitude(columns, far, central, x, e);
    EACH x[n] = as_float(flip(negative[n], as_int(x[n]), 1u << 31));
}

/* 2^31 times the uniform number: (2 m + 1 - 2^24) 2^7, m the upper 24 bits of the word. Exact, as is what follows: the
   factor is scaled by 2^-31 instead. */
FANIN_VECTOR vf scaled_unit(vi w) { return to_float(ori(andi(xori(w, set1i(1u << 31)), set1i(0xFFFFFF00)), set1i(0x80))); }

/* The bits of x rounded to BF16, in the upper half of each lane; the lower half is left over. */
FANIN_VECTOR vi to_bf16(vf x)
{
    const vi bits = as_int(x), odd = andi(shift_right(bits, 16), set1i(1));
    return addi(bits, addi(odd, set1i(0x7FFF)));
}

/* The bits of x rounded to a format of one byte: added to the power of two whose last place is the format's at x, |x|
   leaves its rounded significand in the lowest bits of the sum. */
FANIN_VECTOR vi to_f8(vf x, int precision, int min_exponent)
{
    const vi bits = as_int(x);
    const vi field = most(andi(bits, set1i(0x7F800000)), set1i((127 + min_exponent) << 23));
    const vi power = addi(field, set1i((24 - precision) << 23));
    const vi sum = as_int(add(as_float(andi(bits, set1i(0x7FFFFFFF))), as_float(power)));
    const vi octaves = subi(shift_right(field, 24 - precision), set1i((127 + min_exponent) << (precision - 1)));
    return ori(addi(subi(sum, power), octaves), andi(shift_right(bits, 24), set1i(0x80)));
}

FANIN_VECTOR void store_group(int dtype, const vf x[4], unsigned char *out)
{
    vi bits[4];
    EACH bits[n] = dtype == FANIN_BF16      ? to_bf16(x[n])
                   : dtype == FANIN_F8_E4M3 ? to_f8(x[n], 4, -6)
                   : dtype == FANIN_F8_E5M2 ? to_f8(x[n], 3, -14)
                                            : as_int(x[n]);
    if (dtype == FANIN_F32) store_bits(bits, out);
    if (dtype == FANIN_BF16) pack_upper(bits, out);
    if (dtype == FANIN_F16) pack_halves(x, out);
    if (dtype == FANIN_F8_E4M3 || dtype == FANIN_F8_E5M2) pack_bytes(bits, out);
}

/* Elements of a group one by one, of the words in `words`: those whose bit is set. */
static __attribute__((noinline, cold)) void redo(const fanin_draw *draw, int law, int dtype, const unsigned char *words,
                                                 uint64_t lanes, unsigned char *out)
{
    for (; lanes; lanes &= lanes - 1) {
        const int n = __builtin_ctzll(lanes);
        uint32_t word;
        memcpy(&word, words + n * sizeof word, sizeof word);
        const float value = fanin_place(draw, law == UNIFORM ? fanin_symmetric_unit(word) : fanin_standard_normal(draw, word));
        fanin_store(value, dtype, out + n * fanin_sizes[dtype]);
    }
}

/* `groups` groups, in none of which the lower half of the block number wraps. */
FANIN_VECTOR void make_groups(int law, int dtype, const fanin_draw *draw, const uint32_t keys[8], uint64_t block, size_t groups,
                              unsigned char *out)
{
    column local[FANIN_COEFFICIENTS_F32];
    memcpy(local, columns, sizeof local);
    const fanin_words words = words_of(draw);
    const fanin_rounds rounds = fanin_rounds_of(keys, block);
    const vf offset = set1((float)draw->offset), scale = set1((float)draw->scale * (law == UNIFORM ? 0x1p-31f : 1.0f));
    const vf low = set1((float)draw->low), high = set1((float)draw->high);
    const vi last_of_tail = set1i((uint32_t)draw->negative.tail_count - 1);
    for (; groups; groups--, block += BLOCKS, out += GROUP * fanin_sizes[dtype]) {
        vi w[4], e[4];
        vf x[4];
        philox4(&rounds, (uint32_t)block, w);
        if (law == UNIFORM)
            EACH x[n] = scaled_unit(w[n]);
        else if (law == NORMAL)
            symmetric_normal(local, set1i((1 << 30) - (1 << 19) - 1), set1(0x1p-31f), 0, set1(0), w, x, e);
        else if (law == SYMMETRIC)
            symmetric_normal(local, last_of_tail, set1((float)words.step[0]), 1, set1((float)words.tail_offset[0]), w, x, e);
        else
            truncated_normal(local, law == FAR, &words, w, x, e);
        EACH x[n] = add(offset, mul(scale, x[n]));
        if (law != NORMAL) EACH x[n] = at_most(high, at_least(low, x[n]));
        store_group(dtype, x, out);
        /* The least t of the whole law is 2^-32, of row 31. */
        if ((law == NORMAL && ROWS < 32) || law == TRUNCATED) {
            uint64_t rare = 0;
            EACH rare |= (uint64_t)lanes_below(e[n], 126 - ROWS + 1) << n * LANES;
            if (__builtin_expect(rare != 0, 0)) {
                unsigned char bits[GROUP * sizeof(uint32_t)];
                store_bits(w, bits);
                redo(draw, law, dtype, bits, rare, out);
            }
        }
    }
}

#include "simd64.h"

typedef void maker(const fanin_draw *draw, const uint32_t keys[8], uint64_t block, size_t groups, unsigned char *out);

/* A loop for each law and storage type, of which those are constants. */
#define MAKER(law, dtype)                                                                                            \
    static void make_##law##_##dtype(const fanin_draw *draw, const uint32_t keys[8], uint64_t block, size_t groups,  \
                                     unsigned char *out)                                                             \
    {                                                                                                                \
        if (FANIN_##dtype == FANIN_F64)                                                                              \
            make_groups64(law, draw, keys, block, groups, out);                                                      \
        else                                                                                                         \
            make_groups(law, FANIN_##dtype, draw, keys, block, groups, out);                                         \
    }
#define MAKERS(law) MAKER(law, F64) MAKER(law, F32) MAKER(law, BF16) MAKER(law, F16) MAKER(law, F8_E4M3) MAKER(law, F8_E5M2)
#define NAMES(law)                                                                                                   \
    {make_##law##_F64, make_##law##_F32, make_##law##_BF16, make_##law##_F16, make_##law##_F8_E4M3, make_##law##_F8_E5M2}
MAKERS(UNIFORM)
MAKERS(NORMAL)
MAKERS(SYMMETRIC)
MAKERS(TRUNCATED)
MAKERS(FAR)
static maker *const makers[][FANIN_F8_E5M2 + 1] = {NAMES(UNIFORM), NAMES(NORMAL), NAMES(SYMMETRIC), NAMES(TRUNCATED), NAMES(FAR)};

/* The loop for this draw, UNIFORM to FAR. A step is the probability of one in `parts` of a word. */
static int loop_of(const fanin_draw *draw, int law, double parts, int rows)
{
    if (law != FANIN_TRUNCATED) return law == FANIN_UNIFORM ? UNIFORM : NORMAL;
    const fanin_side *n = &draw->negative, *p = &draw->positive, *sides[] = {n, p};
    const double least = fanin_double((uint64_t)(1023 - rows) << 52); /* t in the rows that a lookup has: 2^-rows */
    if (n->count == p->count && n->tail_count == p->tail_count && n->tail_offset == p->tail_offset && n->step == p->step &&
        n->central_offset == 0 && p->central_offset == 0 && n->tail_offset >= least)
        return SYMMETRIC;
    /* More than one word in 64 in other rows. */
    for (int side = 0; side < 2; side++)
        if (sides[side]->count && sides[side]->step * parts * (double)sides[side]->count < 64 * least) return FAR;
    return TRUNCATED;
}

/* One group where the lower half of the block number wraps, element by element. */
static void make_wrapping(const fanin_draw *draw, int law, int dtype, const uint32_t keys[8], uint64_t block,
                          unsigned char *out)
{
    const uint64_t every = ~(uint64_t)0 >> (64 - GROUP);
    if (dtype == FANIN_F64) {
        redo64(draw, law, keys, block, every, out);
    } else {
        uint32_t words[GROUP];
        for (int n = 0; n < BLOCKS; n++) fanin_philox(keys, block + n, words + 4 * n);
        redo(draw, law, dtype, (const unsigned char *)words, every, out);
    }
}

static void fill(const fanin_draw *draw, int law, int dtype, const uint32_t keys[8], uint64_t block, int skip, uint64_t count,
                 unsigned char *out)
{
    const int loop = dtype == FANIN_F64 ? loop_of(draw, law, 0x1p32, ROWS64) : loop_of(draw, law, 1, ROWS);
    const int size = fanin_sizes[dtype];
    maker *const make = makers[loop][dtype];
    while (count) {
        const uint64_t before_wrap = (((uint64_t)1 << 32) - (uint32_t)block) / BLOCKS; /* groups */
        uint64_t groups = count / GROUP < before_wrap ? count / GROUP : before_wrap, made = groups * GROUP;
        if (groups && !skip) {
            make(draw, keys, block, groups, out);
        } else { /* through a buffer, up to the next group */
            unsigned char group[GROUP * sizeof(double)];
            if (before_wrap)
                make(draw, keys, block, 1, group);
            else
                make_wrapping(draw, loop, dtype, keys, block, group);
            made = count < (uint64_t)(GROUP - skip) ? count : (uint64_t)(GROUP - skip);
            memcpy(out, group + skip * size, made * size);
        }
        out += made * size;
        block += (skip + made) / 4;
        skip = (int)((skip + made) % 4);
        count -= made;
    }
}

static void prepare_both(void)
{
    prepare();
    prepare64();
}

#include "orthogonal.h"

const fanin_level FANIN_NAME = {prepare_both, fill, {reflect_32, reflect_64}, {columns_32, columns_64}};
