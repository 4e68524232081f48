/* Checks and forms of text: UTF-8, names, metas, refs. */
#ifndef PR_TEXT_H
#define PR_TEXT_H

#include <presence.h>
#include <stdbool.h>

#define PR_TOPIC_MAX       255 /* protocol constants, protocol.md 5.4 */
#define PR_KEY_MAX         255
#define PR_META_MAX        65535
#define PR_META_DEPTH      32
#define PR_MEMBER_NAME_MAX 64
#define PR_CLUSTER_MAX     64
#define PR_ADDRESSES_MAX   8
#define PR_ADDRESS_MAX     71
#define PR_MEMBERS_MAX     4096
#define PR_FRAME_MIN       262144u  /* least allowed max_frame */
#define PR_FRAME_MAX       1048576u /* ours */

static inline presence_str pr_str(const char *data, size_t size) {
    presence_str s = {data, size};
    return s;
}
presence_str pr_cstr(const char *terminated);
bool pr_str_equal(presence_str, presence_str);
int pr_str_compare(presence_str, presence_str); /* bytewise */

bool pr_utf8_valid(presence_str); /* strict: no surrogates, no overlong forms, no NUL */
int pr_check_topic(presence_str); /* 0 or PRESENCE_ETOPIC */
int pr_check_key(presence_str);   /* 0 or PRESENCE_EKEY */
/* 0, PRESENCE_EMETA, PRESENCE_ELIMIT (over max bytes). *why (may be NULL): static text of what is wrong. */
int pr_check_meta(presence_str meta, size_t max, const char **why);

/* ref: base64url without padding of inst and dot big-endian (3.1): 22 characters, terminated. */
#define PR_REF_SIZE 22
void pr_ref_format(presence_ref *, uint64_t inst, uint64_t dot);
bool pr_ref_parse(presence_str, uint64_t *inst, uint64_t *dot);

#endif
