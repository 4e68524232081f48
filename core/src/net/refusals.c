/* What is told of those who are refused: one line for each kind of doubt and address in PR_TELL_MS.
 *
 * Happy path: the first of its kind from an address is told; the next line of both says how many went untold.
 * Failure path: strangers of more addresses than the table has room for share one line for each kind, so a flood fills
 * no log, whatever addresses it can make up: at most PR_TOLD_MAX + PR_DOUBTS lines in PR_TELL_MS.
 */
#include "driver.h"
#include <stdio.h>
#include <string.h>

#define PR_TELL_MS 10000

static bool over(const pr_told *told, uint64_t now) { return told->at == 0 || now >= told->at + PR_TELL_MS; }

/* Its own row; else one whose time is over; else that of all who found no room. */
static pr_told *row_of(pr_proving *all, enum pr_doubt kind, const char *host, uint64_t now) {
    pr_told *free_row = NULL;
    for (size_t i = 0; i < PR_TOLD_MAX; i++) {
        pr_told *row = &all->told[i];
        if (row->at && row->kind == (int)kind && strncmp(row->host, host, sizeof row->host - 1) == 0) return row;
        if (!free_row && over(row, now)) free_row = row;
    }
    if (!free_row) return &all->others[kind];
    all->others[free_row->kind].untold += free_row->untold; /* the next line of this kind says it */
    memset(free_row, 0, sizeof *free_row);
    free_row->kind = (int)kind;
    snprintf(free_row->host, sizeof free_row->host, "%.63s", host);
    return free_row;
}

void pr_net_refusal_tell(pr_conn *conn, enum pr_doubt kind, const char *why) {
    pr_net *net = conn->net;
    uint64_t now = pr_clock_now().mono_ms;
    pr_told *told = row_of(&net->proving, kind, conn->host, now);
    char text[440], more[64] = "", who[140];
    if (!over(told, now)) {
        told->untold++;
        return;
    }
    pr_told *others = &net->proving.others[kind];
    uint64_t untold = told->untold + (told == others ? 0 : others->untold);
    if (untold) snprintf(more, sizeof more, " (and %llu like it before)", (unsigned long long)untold);
    told->at = now ? now : 1;
    told->untold = others->untold = 0;
    bool v6 = strchr(conn->host, ':') != NULL;
    snprintf(who, sizeof who, v6 ? "[%.120s]:%u" : "%.120s:%u", conn->host, conn->port);
    snprintf(text, sizeof text, "%s %s refused: %s%s", conn->dial ? "member at" : "peer from", who, why, more);
    net->hooks.error(net->hooks.owner, PRESENCE_EAUTH, text);
}
