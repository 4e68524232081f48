/* The HELLO of a member made up by a test: inc 5, hb 1, a period of a second, no features. Its caller changes the rest.
 */
#ifndef PR_TEST_WIRE_HELLO_H
#define PR_TEST_WIRE_HELLO_H

#include "wire.h"
#include <string.h>

static inline pr_message wire_hello(const char *name, uint64_t inst) {
    pr_message message;
    memset(&message, 0, sizeof message);
    message.type = PR_HELLO;
    pr_hello *hello = &message.as.hello;
    strcpy(hello->cluster, "default");
    strcpy(hello->self.name, name);
    hello->self.inst = inst;
    hello->self.inc = 5;
    hello->self.hb = 1;
    hello->self.fixed = true;
    hello->self.proto = 1;
    hello->self.period_ms = 1000;
    hello->max_frame = PR_FRAME_MAX;
    return message;
}

#endif
