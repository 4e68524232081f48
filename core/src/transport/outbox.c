/* A growing list of actions. */
#include "outbox.h"

int pr_outbox_reserve(pr_outbox *box, const pr_alloc *alloc) {
    return pr_room(alloc, (void **)&box->actions, &box->room, box->size + 1, sizeof *box->actions);
}

void pr_outbox_add(pr_outbox *box, const pr_action *action) { box->actions[box->size++] = *action; }

void pr_outbox_free(pr_outbox *box, const pr_alloc *alloc, size_t from) {
    for (size_t i = from; i < box->size; i++) {
        if (box->actions[i].kind == PR_ACTION_SEND) pr_bytes_release(box->actions[i].as.send.bytes);
    }
    pr_delete(alloc, box->actions, box->room * sizeof *box->actions);
    box->actions = NULL;
    box->size = box->room = 0;
}
