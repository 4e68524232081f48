/* Random lies of a proven member, as real bytes, to three honest ones who are linked with each other.
 *
 * A tame liar says anything but what docs/security.md names as its power: it takes no name and says of nobody that it
 * left. Then honest members show each other exactly, after every lie. A wild one says anything at all: some may stop
 * or hide, but nobody ever shows under the name of an honest member what that one did not say, and each shows itself
 * until it stops. Nobody crashes, and all memory comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fuzz_peer.h"

#include "engine_liar.h"

enum { HONEST = 3, SEEDS = 40, LIES = 250, BYTES = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return (void)data, (int)size; }

typedef struct play {
    world *w;
    liar liars[HONEST]; /* one liar, linked with each */
    uint64_t insts[HONEST], inc, random;
    presence_owner owners[HONEST];
    int said[HONEST]; /* the number in the meta of each */
    bool tame;
    size_t lies, links;
} play;

static uint64_t draw(play *p, uint64_t below) {
    p->random ^= p->random << 13, p->random ^= p->random >> 7, p->random ^= p->random << 17;
    return p->random % below;
}

static const char *const names[] = {"a", "b", "c"};

static void write_meta(int number, char out[32]) { snprintf(out, 32, "{\"n\":%d}", number); }

/* ---- lies: the fuzzers' messages, about members that are there ---- */
static uint64_t real_inst(const play *p, uint64_t inst) {
    return inst >= 0xA && inst <= 0xC ? p->insts[inst - 0xA] : inst;
}

static int honest_of(const play *p, uint64_t inst) {
    for (int i = 0; i < HONEST; i++)
        if (p->insts[i] == inst) return i;
    return -1;
}

static bool takes_a_name(const play *p, const pr_record *record) {
    int who = honest_of(p, record->inst);
    if (who >= 0) return record->left || (record->fixed && strcmp(record->name, names[who]) != 0);
    return record->fixed && record->name[0] >= 'a' && record->name[0] <= 'c';
}

static void make_records_real(const play *p, pr_records *records) {
    size_t kept = 0;
    for (size_t i = 0; i < records->size; i++) {
        pr_record *record = &records->items[i];
        record->inst = real_inst(p, record->inst);
        record->addresses_size = 0; /* dials of nobody are no matter here */
        if (!p->tame || !takes_a_name(p, record)) records->items[kept++] = *record;
    }
    records->size = kept;
}

static void make_real(const play *p, pr_message *m) {
    switch (m->type) {
    case PR_HEARTBEAT: make_records_real(p, &m->as.heartbeat.digest); break;
    case PR_REQUEST: m->as.request.inst = real_inst(p, m->as.request.inst); break;
    case PR_UNSUB: m->as.unsub = real_inst(p, m->as.unsub); break;
    case PR_LEAVE: m->as.leave.inst = real_inst(p, m->as.leave.inst); break;
    case PR_PROBE: m->as.probe.inst = real_inst(p, m->as.probe.inst); break;
    case PR_PROBE_ACK: m->as.probe_ack.inst = real_inst(p, m->as.probe_ack.inst); break;
    case PR_LOGDEF: m->as.logdef.inst = real_inst(p, m->as.logdef.inst); break;
    case PR_NAK: m->as.nak.inst = real_inst(p, m->as.nak.inst); break;
    default: break;
    }
}

static void lie(play *p) {
    static const uint8_t types[] = {PR_HEARTBEAT, PR_HEARTBEAT, PR_SEGMENT, PR_SEGMENT, PR_SEGMENT, PR_LIVE,
                                    PR_LOGDEF,    PR_LOGDEF,    PR_REQUEST, PR_UNSUB,   PR_PROBE,   PR_PROBE_ACK,
                                    PR_NAK,       PR_LEAVE,     PR_ERROR,   PR_HELLO};
    uint8_t bytes[BYTES];
    fuzz_said said;
    int to = (int)draw(p, HONEST);
    liar *l = &p->liars[to];
    if (!p->w->nodes[to].engine || p->w->nodes[to].yields) return;
    if (!liar_linked(l)) {
        liar_link(l, p->w, to, "s");
        p->links++;
    }
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(draw(p, 3) ? draw(p, 8) : draw(p, 256));
    fuzz_input in = {bytes, sizeof bytes};
    uint8_t type = types[draw(p, draw(p, 8) ? 13 : sizeof types)];
    pr_message *message = (pr_message *)(uintptr_t)fuzz_say(&in, &said, type);
    make_real(p, message);
    p->lies += liar_say(l, message);
}

/* ---- the truth ---- */
static void change(play *p, int who) {
    char meta[32];
    if (p->w->nodes[who].yields) return;
    write_meta(++p->said[who], meta);
    assert_int_equal(world_update(p->w, who, p->owners[who], "room", names[who], meta), 0);
}

/* What `at` shows of an honest member is what that one said last, or earlier if a wild liar delays it. */
static void check_row(const play *p, int at, int of, const pr_row *row) {
    char meta[32];
    int number = -1;
    if (!pr_str_equal(row->key, pr_cstr(names[of])))
        fail_msg("%s shows %.*s as a key of %s", names[at], (int)row->key.size, row->key.data, names[of]);
    if (row->meta.size < sizeof meta)
        sscanf(memcpy(memset(meta, 0, sizeof meta), row->meta.data, row->meta.size), "{\"n\":%d}", &number);
    bool right = p->tame ? number == p->said[of] : number >= 0 && number <= p->said[of];
    if (!right)
        fail_msg("%s shows %.*s of %s, who said %d", names[at], (int)row->meta.size, row->meta.data, names[of],
                 p->said[of]);
}

static void check_list(play *p, int at) {
    pr_rows *rows;
    int seen[HONEST] = {0};
    assert_int_equal(pr_store_list(pr_engine_store(p->w->nodes[at].engine), pr_cstr("room"), &rows), 0);
    for (size_t i = 0; i < rows->size; i++) {
        int of = honest_of(p, rows->rows[i].inst);
        if (of < 0) continue;
        check_row(p, at, of, &rows->rows[i]);
        seen[of]++;
    }
    pr_rows_free(rows);
    for (int of = 0; of < HONEST; of++) {
        if (seen[of] > 1) fail_msg("%s shows %s twice", names[at], names[of]);
        if (seen[of] == 0 && (p->tame || (of == at && !p->w->nodes[at].yields)))
            fail_msg("%s does not show %s", names[at], names[of]);
    }
}

static void play_begin(play *p, uint64_t seed, bool tame) {
    memset(p, 0, sizeof *p);
    p->w = world_new();
    p->random = seed * 0x9E3779B97F4A7C15u + 1;
    p->tame = tame;
    for (int i = 0; i < HONEST; i++) {
        world_start(p->w, i, names[i], i ? 1u : 0);
        p->owners[i] = world_owner(p->w, i);
        assert_int_equal(world_track(p->w, i, p->owners[i], "room", names[i], "{\"n\":0}"), 0);
        world_run(p->w, 50);
    }
    world_run(p->w, 2000);
    for (int i = 0; i < HONEST; i++) {
        pr_member_info info;
        assert_int_equal(world_status(p->w, (i + 1) % HONEST, names[i], &info), PRESENCE_MEMBER_UP);
        p->insts[i] = info.inst;
    }
}

static void play_end(play *p) {
    for (int i = 0; i < HONEST; i++) liar_free(&p->liars[i]);
    world_run(p->w, 20000);
    for (int i = 0; i < HONEST; i++) check_list(p, i);
    world_free(p->w); /* says if memory did not come back */
}

static void run(uint64_t seed, bool tame) {
    play p;
    play_begin(&p, seed, tame);
    for (int i = 0; i < LIES; i++) {
        lie(&p);
        if (draw(&p, 4) == 0) change(&p, (int)draw(&p, HONEST));
        if (draw(&p, 3) == 0) {
            world_run(p.w, 60 + draw(&p, 800));
            for (int k = 0; k < HONEST; k++) liar_hear(&p.liars[k]);
        }
        world_run(p.w, 60); /* what was said has arrived */
        for (int k = 0; k < HONEST; k++) check_list(&p, k);
    }
    assert_true(p.lies > LIES / 4);
    play_end(&p);
}

static void a_tame_liar_harms_nobody(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) run(seed, true);
}

static void a_wild_liar_writes_for_nobody_else(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) run(seed, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tame_liar_harms_nobody),
        cmocka_unit_test(a_wild_liar_writes_for_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
