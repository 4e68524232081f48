/* A growing list of actions. */
#include "outbox.h"

int pr_outbox_reserve(pr_outbox *box, const pr_alloc *alloc) {
    if (box->size < box->room) return 0;
    size_t room = box->room ? box->room * 2 : 16;
    pr_action *grown = pr_resize(alloc, box->actions, box->room * sizeof *grown, room * sizeof *grown);
    if (!grown) return PRESENCE_ENOMEM;
    box->actions = grown;
    box->room = room;
    return 0;
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
