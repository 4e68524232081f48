/* What comes in of logs over a broker: who may have sent it, and from whom more is asked (protocol.md 3.6, 3.7).
 *
 * Happy path: a SEG under the subject of a log is its origin's and welcome; one in our inbox answers a REQ of ours, and
 * is taken while that is outstanding or was lately. What fits is applied, `more` asks again, a gap asks for what is
 * missing.
 * Failures: our own log, another log than the subject says, an answer nobody asked for: dropped and counted.
 */
#include "engine_state.h"

static int dropped(pr_engine *e) {
    e->stats.frames_dropped++;
    return 0;
}

/* Who answers: the one that is asked, or was asked last. NULL: nobody was. */
static pr_peer *answering(const pr_engine *e, const pr_member *m) {
    if (m->asked) return m->asked->peer->voice ? m->asked->peer : NULL;
    pr_source *last = NULL;
    for (pr_node *n = m->copy->sources.next; n != &m->copy->sources; n = n->next) {
        pr_source *source = n->owner;
        if (!source->peer->voice || !pr_source_welcome(e, source)) continue;
        if (!last || source->welcome_until > last->welcome_until) last = source;
    }
    if (!last && !pr_rule(PR_RULE_broker_asked)) return pr_voice_of(e, m->inst);
    return last ? last->peer : NULL;
}

static pr_member *held(const pr_engine *e, uint64_t inst) {
    pr_member *m = inst && inst != e->inst ? pr_member_of(e, inst) : NULL;
    return m && m->copy ? m : NULL;
}

/* The way to who answers, as long as that takes: timers follow it, not the period (3.13). */
static void answered(pr_engine *e, pr_peer *voice) {
    if (!voice->ping) return;
    voice->ping = 0;
    if (!e->stall_end || e->stall_end < voice->ping_at) pr_rtt_sample(&voice->rtt, e->now.mono_ms - voice->ping_at);
}

int pr_broker_segment(pr_engine *e, pr_subject subject, const pr_segment *segment) {
    pr_member *m = held(e, segment->inst);
    bool published = subject.kind == PR_SUBJECT_LOG;
    if (published && subject.inst != segment->inst && pr_rule(PR_RULE_broker_subject)) return dropped(e);
    pr_peer *voice = !m ? NULL : published ? pr_voice_of(e, m->inst) : answering(e, m);
    if (!voice) return dropped(e);
    if (!published) answered(e, voice);
    return pr_segment_merge(e, m, voice, segment);
}

int pr_broker_live(pr_engine *e, const pr_live *live) {
    pr_member *m = held(e, live->inst);
    pr_peer *voice = m ? answering(e, m) : NULL;
    if (!voice) return dropped(e);
    answered(e, voice);
    return pr_live_merge(e, m, voice, live);
}

void pr_broker_nak(pr_engine *e, const pr_nak *nak) {
    pr_member *m = held(e, nak->inst);
    if (!m || !m->asked || !m->asked->peer->voice) return; /* nobody waits for it */
    pr_peer *voice = m->asked->peer;
    answered(e, voice);
    pr_nak_take(e, voice, nak);
}
