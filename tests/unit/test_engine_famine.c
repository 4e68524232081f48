/* A life of three members in which the n-th allocation of one of them fails, for every n and for each of them: the
 * origin that others cannot all link to, the relay, the receiver. Local calls give ENOMEM and have changed nothing;
 * afterwards all is told as if nothing had been, and nothing leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine_world.h"

enum { RELAY, ORIGIN, RECEIVER, ROLES };

/* A call that may fail once, and then may not. */
#define AGAIN(call)                                                                                                    \
    ({                                                                                                                 \
        int again_rc = (call);                                                                                         \
        if (again_rc == PRESENCE_ENOMEM) again_rc = (call);                                                            \
        again_rc;                                                                                                      \
    })

static presence_owner owner_at(world *w, int i, uint32_t lease_ms) {
    presence_owner owner = 0;
    assert_int_equal(AGAIN(pr_engine_owner_open(w->nodes[i].engine, lease_ms, world_time(w), &owner)), 0);
    return owner;
}

static int close_at(world *w, int i, presence_owner owner) {
    int rc = pr_engine_owner_close(w->nodes[i].engine, owner, world_time(w));
    world_act(w, i);
    return rc;
}

/* All or nothing: two keys of one topic, and one of another. */
static int track_three(world *w, int i, presence_owner owner, const char *key, const char *other) {
    const presence_item items[] = {{pr_cstr("t"), pr_cstr(key), pr_cstr("{\"a\":1}")},
                                   {pr_cstr("t"), pr_cstr(other), pr_cstr("")},
                                   {pr_cstr("else"), pr_cstr(key), pr_cstr("{}")}};
    size_t before = world_shown(w, i, "t");
    int rc = pr_engine_track_many(w->nodes[i].engine, owner, items, 3, world_time(w), NULL, NULL, NULL);
    if (rc) assert_int_equal(world_shown(w, i, "t"), before);
    world_act(w, i);
    return rc;
}

/* What one member does of its own will; 2 of its presences of "t" stay. */
static void act_at(world *w, int i) {
    char key[16], other[16];
    presence_owner stays = owner_at(w, i, 0), goes = owner_at(w, i, 0), leased = owner_at(w, i, 700);
    snprintf(key, sizeof key, "k%d", i);
    snprintf(other, sizeof other, "other%d", i);
    assert_int_equal(AGAIN(track_three(w, i, stays, key, other)), 0);
    assert_int_equal(AGAIN(world_track(w, i, goes, "t", key, "{}")), 0);
    assert_int_equal(AGAIN(world_track(w, i, leased, "t", key, "{}")), 0);
    world_run(w, 300);
    assert_int_equal(AGAIN(pr_engine_owner_touch(w->nodes[i].engine, leased, world_time(w))), 0);
    for (int v = 0; v < 3; v++) {
        char meta[24];
        snprintf(meta, sizeof meta, "{\"v\":%d}", v);
        assert_int_equal(AGAIN(world_update(w, i, stays, "t", key, meta)), 0);
        world_run(w, 40);
    }
    assert_int_equal(AGAIN(world_untrack(w, i, stays, "else", key)), 1);
    assert_int_equal(AGAIN(close_at(w, i, goes)), 0);
    world_run(w, 2000); /* the lease runs out */
}

static void silence(world *w, bool cut) {
    for (int l = 0; l < LINKS; l++) w->wires[l].cut = w->wires[l].used && cut;
}

/* Who is at `who` has its n-th allocation refused; false: it was never reached. */
static bool life(int who, size_t n) {
    world *w = world_new();
    w->severed[ORIGIN][RECEIVER] = w->severed[RECEIVER][ORIGIN] = true;
    world_start(w, RELAY, "relay", 0);
    world_start(w, ORIGIN, "origin", 1u << RELAY);
    world_start(w, RECEIVER, "receiver", 1u << RELAY);
    heap_fail(&w->nodes[who].heap, n);
    world_run(w, 50);
    for (int i = 0; i < ROLES; i++) act_at(w, i);
    silence(w, true); /* every link is dead for a while */
    world_run(w, 5000);
    silence(w, false);
    world_run(w, 15000);
    int other = who == ORIGIN ? RECEIVER : ORIGIN; /* a new start of a name, and one that leaves */
    const char *name = other == ORIGIN ? "origin" : "receiver";
    world_kill(w, other, true);
    world_run(w, 1500);
    world_start(w, other, name, 1u << RELAY);
    world_run(w, 1500);
    act_at(w, other);
    w->severed[ORIGIN][RECEIVER] = w->severed[RECEIVER][ORIGIN] = false;
    world_run(w, 15000); /* the relay is not needed any more */
    bool failed = w->nodes[who].heap.failed > 0;
    heap_fail(&w->nodes[who].heap, 0);
    world_run(w, 15000);
    for (int i = 0; i < ROLES; i++)
        if (world_shown(w, i, "t") != 6 || world_shown(w, i, "else") != 0)
            fail_msg("allocation %zu of %d: node %d shows %zu and %zu", n, who, i, world_shown(w, i, "t"),
                     world_shown(w, i, "else"));
    assert_int_equal(w->nodes[who].joins - w->nodes[who].leaves, 6);
    pr_engine_leave(w->nodes[who].engine, world_time(w));
    world_act(w, who);
    world_run(w, 100);
    for (int i = 0; i < ROLES; i++)
        if (i != who) assert_int_equal(world_shown(w, i, "t"), 4);
    world_free(w);
    return failed;
}

static void every_allocation_of(int who) {
    size_t n = 1;
    while (life(who, n)) n++;
    assert_true(n > 100);
    printf("%zu allocations\n", n - 1);
}

static void the_relay_goes_hungry(void **state) { (void)state, every_allocation_of(RELAY); }
static void the_origin_goes_hungry(void **state) { (void)state, every_allocation_of(ORIGIN); }
static void the_receiver_goes_hungry(void **state) { (void)state, every_allocation_of(RECEIVER); }

static void no_member_without_memory(void **state) {
    (void)state;
    heap h = {0};
    pr_alloc alloc = heap_allocator(&h);
    presence_str seeds[] = {pr_cstr("m1"), pr_cstr("m2")};
    pr_engine_options o = pr_engine_options_default();
    o.name = pr_cstr("a");
    o.inst = o.seed = 7;
    o.seeds = seeds;
    o.seeds_size = 2;
    for (size_t n = 1;; n++) {
        pr_engine *e = NULL;
        heap_fail(&h, n);
        int rc = pr_engine_new(&alloc, &o, (pr_time){1, 1}, &e);
        if (rc == 0) pr_engine_free(e);
        assert_int_equal(h.blocks, 0);
        if (h.failed == 0) break;
        assert_true(rc == PRESENCE_ENOMEM || rc == 0); /* 0: what it wanted to do at once it does later */
        assert_true(n < 200);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_relay_goes_hungry),
        cmocka_unit_test(the_origin_goes_hungry),
        cmocka_unit_test(the_receiver_goes_hungry),
        cmocka_unit_test(no_member_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
